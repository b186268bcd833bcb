"""Dialog adapters: choose the right reply. Contexts and replies meet in one space, whose wide half ``wide_dialog.py`` trains.

Method: a dual encoder with in-batch negatives (Henderson et al. 2017, arXiv:1705.00652) and hard negatives mined with the
untuned encoder (Xiong et al. 2021, arXiv:2007.00808). Recall@1 of 100 as in Henderson et al. 2019 (arXiv:1904.06472): the
right reply among 99 unique others. Knows pairs; which conversations they come from, ``dialog_pairs.py`` knows.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.adapter_files import Manifest
from assistant.batches import by_length
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.heads import hashed
from assistant.sides import Side, context_grams, context_text, deep_side, joined, vectors, weight_of
from finetune.adapted import AdaptedEncoder, Prepared
from finetune.examples import digest_of
from finetune.fitting import fit, write_version
from finetune.harvested import Pair
from finetune.loop import Learner
from finetune.ranks import Ranks
from finetune.recipe import Progress, Run
from finetune.wide_dialog import best_share, train_wide

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from assistant.heads import Hashed

SCALE = 20.0  # of cosines in the softmax over replies, as sentence-transformers ranks
CHOICES = 100
_LEAST_PAIRS, _LEAST_REPLIES = 16, 2  # to learn from, and different ones to check by
#: Unit vectors of contexts and of replies, each ``(n, D)``.
Sides = tuple["NDArray[np.float32]", "NDArray[np.float32]"]
_HARD = 16  # nearest wrong replies of the untuned encoder that hard negatives are drawn from
_CONTEXTS = 8  # of one reply that the encoder learns from: a greeting said a thousand times has little to teach


@dataclass(frozen=True, slots=True)
class Ranking:
    """Where the right reply came among its choices: ranks from 1 ``(n,)``, and the row of the reply ranked first ``(n,)``."""

    ranks: NDArray[np.int64]
    chosen: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainedChooser:
    """What a training run leaves: its manifest, the epochs, and how the new version ranks the validation replies."""

    manifest: Manifest
    history: tuple[Progress, ...]
    ranking: Ranking


def choice_sets(replies: Sequence[str], seed: int, choices: int = CHOICES) -> list[list[int]]:
    """Draw for each reply the rows it is chosen from.

    Args:
        replies: One reply per context ``(n,)``; repeated ones count once.
        seed: Of the draw.
        choices: How many to choose from.

    Returns:
        For each row its own row first, then ``choices - 1`` rows of unique other replies, or as many as there are.
    """
    first: dict[str, int] = {}
    for row, reply in enumerate(replies):
        first.setdefault(" ".join(reply.lower().split()), row)
    unique = list(first.values())
    rng = random.Random(seed)
    sets = []
    for reply in replies:
        own = first[" ".join(reply.lower().split())]
        others = rng.sample(unique, min(choices, len(unique)))
        sets.append([own, *[row for row in others if row != own][: choices - 1]])
    return sets


def rank(contexts: NDArray[np.float32], replies: NDArray[np.float32], sets: Sequence[Sequence[int]]) -> Ranking:
    """Rank each context's own reply, the first of its set, among the set.

    Args:
        contexts: ``(n, D)``.
        replies: ``(n, D)``, one per context.
        sets: From ``choice_sets``.

    Returns:
        Ranks and choices; a tie counts against the right reply.
    """
    ranks, chosen = np.zeros(len(sets), dtype=np.int64), np.zeros(len(sets), dtype=np.int64)
    for row, rows in enumerate(sets):
        scores = replies[list(rows)] @ contexts[row]
        ranks[row] = 1 + int((scores[1:] >= scores[0]).sum())
        chosen[row] = rows[int(scores.argmax())]
    return Ranking(ranks, chosen)


def ranking_figures(ranks: NDArray[np.int64]) -> dict[str, float]:
    """Return ``recall_at_1_of_100`` and ``mrr``."""
    if not len(ranks):
        return {"recall_at_1_of_100": 0.0, "mrr": 0.0}
    return {"recall_at_1_of_100": round(float((ranks == 1).mean()), 4), "mrr": round(float((1 / ranks).mean()), 4)}


def too_few(training: Sequence[Pair], validation: Sequence[Pair]) -> str:
    """Say why pairs do not suffice to train on; empty where they do."""
    replies = len({pair.reply for pair in validation})
    if len(training) >= _LEAST_PAIRS and replies >= _LEAST_REPLIES:
        return ""
    needed = f"at least {_LEAST_PAIRS} and {_LEAST_REPLIES} are needed"
    return f"{len(training)} pairs to learn from and {replies} replies to check by; {needed}"


def varied(pairs: Sequence[Pair], seed: int, most: int = _CONTEXTS) -> list[Pair]:
    """Leave out repetitions, as frequent words are left out in word2vec (Mikolov et al. 2013, arXiv:1310.4546).

    Args:
        pairs: In any order.
        seed: Of the draw.
        most: How many pairs of one reply are kept.

    Returns:
        The kept pairs, in the order given.
    """
    rows = list(range(len(pairs)))
    random.Random(seed).shuffle(rows)
    counts: Counter[str] = Counter()
    kept = []
    for row in rows:
        counts[pairs[row].reply] += 1
        if counts[pairs[row].reply] <= most:
            kept.append(row)
    return [pairs[row] for row in sorted(kept)]


def train_dialog(
    run: Run, training: Sequence[Pair], validation: Sequence[Pair], encoder: Encoder, *, ranks: Ranks | None = None
) -> TrainedChooser:
    """Train a dialog adapter and write it, complete with manifest, into the run's staged folder.

    Args:
        run: Version, settings, and where it is written.
        training: Contexts with the reply a person gave. Of a reply that is given often, the encoder sees a few; the wide half,
            which is cheap, learns from all.
        validation: Of other conversations; for early stopping and for the weight of the wide half.
        encoder: The frozen base.
        ranks: The processes that train together; the first alone trains the wide half, which takes less than an epoch.

    Returns:
        The manifest, the epochs, and the ranking of the validation replies.

    Raises:
        TrainingError: If settings cannot work, or there are too few pairs.
    """
    import torch

    run.settings.check(run.task)
    if why := too_few(training, validation):
        raise TrainingError(f"{why}: ingest more resolved conversations with people's replies")

    settings = run.settings
    seen = varied(training, settings.seed)

    def build(adapted: AdaptedEncoder) -> Learner:
        return _learner(adapted, encoder, seen, validation, settings.seed)

    checksum, held = (digest_of(repr((pair.context, pair.reply)) for pair in side) for side in (training, validation))
    fitted = fit(run, encoder, len(seen), build, checksum + held, ranks)
    head: Any = fitted.learner.head
    tensors: dict[str, Tensor] = {weight_of("context"): head.context.weight, weight_of("reply"): head.reply.weight}
    with torch.inference_mode():
        deep: Sides = fitted.learner.predict()
    sets = choice_sets([pair.reply for pair in validation], settings.seed)
    ranking, share = rank(deep[0], deep[1], sets), 0.0
    if settings.wide_learning_rate and (ranks or Ranks()).first:
        wide = train_wide(training, settings.seed, run.steps)
        beside = wide.sides(validation)

        def fused(share: float) -> Ranking:
            contexts, replies = (joined(half, other, share) for half, other in zip(deep, beside, strict=True))
            return rank(contexts, replies, sets)

        share = best_share(lambda share: _score(fused(share)))
        if share:
            ranking, tensors = fused(share), tensors | wide.tensors(share)
    values = {
        "labels": (),
        "training_set": {"sha256": checksum, "examples": len(training)},
        "scores": {f"validation_{name}": value for name, value in ranking_figures(ranking.ranks).items()},
        "thresholds": {},
        "temperature": 1.0,
        "head": {"kind": "dual-encoder", "wide_share": share},
    }
    return TrainedChooser(write_version(run, fitted, encoder, tensors, values), fitted.history, ranking)


def _learner(
    adapted: AdaptedEncoder, encoder: Encoder, training: Sequence[Pair], validation: Sequence[Pair], seed: int
) -> Learner:
    """Return the learner; it predicts both sides of the validation pairs."""
    import torch
    from torch.nn import functional as fn

    head: Any = torch.nn.Module()
    head.context = torch.nn.Linear(adapted.dim, adapted.dim, bias=False)
    head.reply = torch.nn.Linear(adapted.dim, adapted.dim, bias=False)
    torch.nn.init.eye_(head.context.weight)
    torch.nn.init.eye_(head.reply.weight)
    contexts = adapted.prepare([context_text(pair.context) for pair in training])
    unique = sorted({pair.reply for pair in training})
    place = {reply: row for row, reply in enumerate(unique)}
    replies = adapted.prepare(unique)
    own = [place[pair.reply] for pair in training]
    hard = _nearest(encoder, unique)
    judged_contexts = adapted.prepare([context_text(pair.context) for pair in validation])
    judged_replies = adapted.prepare([pair.reply for pair in validation])
    sets = choice_sets([pair.reply for pair in validation], seed)
    drawn: list[random.Random] = [random.Random(seed)]

    def side(rows: Sequence[Prepared], linear: Any) -> Tensor:
        return deep_side(linear.weight, adapted.pool(*adapted.hidden(rows)))

    def loss(batch: list[int]) -> Tensor:
        wrong = [drawn[0].choice(hard[own[row]]) for row in batch[::2] if hard[own[row]]]
        rows = sorted({own[row] for row in batch} | set(wrong))
        column = {row: at for at, row in enumerate(rows)}
        scores = SCALE * side([contexts[row] for row in batch], head.context) @ side([replies[row] for row in rows], head.reply).T
        return fn.cross_entropy(scores, torch.tensor([column[own[row]] for row in batch]))

    def sides_of(rows: Sequence[Prepared], linear: Any) -> NDArray[np.float32]:
        found = np.zeros((len(rows), adapted.dim), dtype=np.float32)
        for batch in by_length([len(row) for row in rows], 64):
            found[batch] = side([rows[row] for row in batch], linear).numpy()
        return found

    def predict() -> Sides:
        return sides_of(judged_contexts, head.context), sides_of(judged_replies, head.reply)

    def judge() -> float:
        contexts, replies = predict()
        return _score(rank(contexts, replies, sets))

    def fresh(rng: random.Random) -> None:
        drawn[0] = rng

    return Learner(head, [len(row) for row in contexts], loss, predict, judge, fresh)


def _score(ranking: Ranking) -> float:
    figures = ranking_figures(ranking.ranks)
    return 0.9 * figures["recall_at_1_of_100"] + 0.1 * figures["mrr"]


def _nearest(encoder: Encoder, replies: Sequence[str]) -> list[list[int]]:
    """Return for each reply the rows of its nearest others by the untuned encoder, near-copies left out."""
    vectors = encoder.encode(replies)
    found = []
    for start in range(0, len(vectors), 1024):
        scores = vectors[start : start + 1024] @ vectors.T
        scores[scores > 0.95] = -1  # itself, and the same thing said again
        count = min(_HARD, len(vectors) - 1)
        nearest = np.argpartition(-scores, count - 1, axis=1)[:, :count] if count > 0 else np.zeros((len(scores), 0), dtype=int)
        found += [[int(row) for row in rows if scores[at, row] > 0] for at, rows in enumerate(nearest)]
    return found


def predict_ranking(
    encoder: Encoder, name: str, head: dict[str, Tensor], pairs: Sequence[Pair], seed: int, choices: int = CHOICES
) -> Ranking:
    """Rank replies with the serving path.

    Args:
        encoder: With the adapter ``name`` set.
        name: Adapter name in the encoder's bank.
        head: Both sides' tensors; see ``assistant.sides.vectors``.
        pairs: Contexts with the right reply.
        seed: Of the draw of choices.
        choices: How many replies to choose from.

    Returns:
        Ranks and choices.
    """

    def served(side: Side, texts: Sequence[str], grams: Callable[[Pair], Hashed]) -> NDArray[np.float32]:
        found: dict[int, NDArray[np.float32]] = {}
        for rows in by_length([len(text) for text in texts], 64):
            block = encoder.encode_for_tasks([texts[row] for row in rows])
            pooled = encoder.pool(block.hidden[name], block.mask)
            found |= zip(rows, vectors(head, side, pooled, [grams(pairs[row]) for row in rows]), strict=True)
        return np.stack([found[row] for row in range(len(texts))])

    if not pairs:
        return Ranking(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    replies = [pair.reply for pair in pairs]
    contexts = served("context", [context_text(pair.context) for pair in pairs], lambda pair: context_grams(pair.context))
    return rank(contexts, served("reply", replies, lambda pair: hashed(pair.reply)), choice_sets(replies, seed, choices))
