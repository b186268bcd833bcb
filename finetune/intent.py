"""Classifier adapters (intent and sentiment): examples -> a finished, checked version in the registry's staging folder.

Out-of-scope examples (label ``oos``) are a class of their own. Confidence is calibrated by one temperature on validation
(Guo et al. 2017, arXiv:1706.04599); thresholds are chosen there too. Knows nothing of which version serves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.adapter_files import Manifest
from assistant.batches import by_length
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.heads import BUCKETS, bags, class_logits, hashed
from finetune.adapted import AdaptedEncoder, Prepared
from finetune.augment import variants
from finetune.evaluate import (
    auroc,
    choose_out_of_scope_threshold,
    choose_threshold,
    classification_figures,
    fit_temperature,
    softmax,
)
from finetune.examples import OUT_OF_SCOPE, Labelled, check_labels, digest
from finetune.fitting import Fitted, fit, write_version
from finetune.head_start import SCALE, imprint, probe
from finetune.loop import Learner
from finetune.losses import class_weights, contrastive
from finetune.ranks import Ranks
from finetune.recipe import Progress, Run, TrainSettings

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from assistant.heads import Hashed

    Finish = Callable[[Fitted, NDArray[np.float32], Sequence[Labelled]], "Finished"]

_COPIES = 2  # augmented copies of an example; an epoch takes one of them or, every second time, the example itself


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training run leaves: its manifest, the epochs, and the validation rows as the new version judges them."""

    manifest: Manifest
    history: tuple[Progress, ...]
    truth: NDArray[np.int64]
    chances: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Finished:
    """What a task adds to a finished classifier: tensors and facts of its head, scores, thresholds."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)


def class_head(dim: int, classes: int) -> torch.nn.Module:
    """Build the wide-and-deep head: ``deep`` over the pooled vector, ``wide`` over hashed n-grams, from zero."""
    import torch

    head = torch.nn.Module()
    head.deep = torch.nn.Linear(dim, classes)
    head.wide = torch.nn.Embedding(BUCKETS, classes)
    torch.nn.init.zeros_(head.wide.weight)
    torch.nn.init.normal_(head.deep.weight, std=0.02)
    return head


def train_classifier(
    run: Run,
    training: Sequence[Labelled],
    validation: Sequence[Labelled],
    encoder: Encoder,
    *,
    labels: Sequence[str] = (),
    ranks: Ranks | None = None,
    finish: Finish | None = None,
) -> Trained:
    """Train one classifier adapter and write it, complete with manifest, into the run's staged folder.

    Args:
        run: Task (``intent`` or ``sentiment``), version, settings.
        training: Labelled texts.
        validation: Held apart; used for early stopping, temperature and thresholds only. Rows of other labels are left out.
        encoder: The frozen base.
        labels: Fixed label order; empty means the sorted labels of the training set.
        ranks: The processes that train together.
        finish: Adds what a task has of its own, given the fitted adapter, the validation chances ``(n, C)`` and rows; its
            thresholds stand in place of the check's.

    Returns:
        The manifest, the epochs, and the judged validation rows.

    Raises:
        TrainingError: If settings cannot work, labels are too few, or validation holds none of them.
    """
    import torch

    run.settings.check(run.task)
    found_labels = check_labels(training)
    names = tuple(labels) or found_labels
    if set(found_labels) - set(names):
        raise TrainingError(f"labels {', '.join(sorted(set(found_labels) - set(names)))} are none of {', '.join(names)}")
    held = [example for example in validation if example.label in names]
    if not held:
        raise TrainingError(f"validation holds none of the labels that are trained ({', '.join(names[:5])}, …)")
    sent = [example for example in run.calibrate if example.label in names]
    data = _Rows(training, held, names, sent)
    checksum = digest(training) + digest(held) + (digest(sent) if sent else "")
    fitted = _fit(run, encoder, data, checksum, ranks)
    history = fitted.history
    with torch.inference_mode():
        logits = fitted.learner.predict()
    count = len(held)
    by, truth = (logits[count:], data.sent) if sent else (logits, data.truth)
    temperature = fit_temperature(by, truth)
    chances = softmax(logits[:count] / temperature)
    if run.settings.refit:
        fitted = _fit(run, encoder, _Rows([*training, *held], held, names), checksum, ranks, until=_best_epochs(history))
    if finish:
        more = finish(fitted, chances, held)
    else:
        more = Finished(thresholds=choose_thresholds(softmax(by / temperature), truth, names))
    scores = {f"validation_{key}": value for key, value in classification_figures(chances, data.truth, names).items()}
    head: Any = fitted.learner.head
    tensors = {
        "deep.weight": head.deep.weight.detach() * SCALE,
        "deep.bias": head.deep.bias.detach() * SCALE,
        "wide.weight": head.wide.weight.detach().to(torch.float16),
        **more.tensors,
    }
    values = {
        "labels": names,
        "training_set": {"sha256": digest(training), "examples": len(training)},
        "scores": {**scores, **more.scores},
        "thresholds": more.thresholds,
        "temperature": temperature,
        "head": {"kind": "wide-and-deep", "buckets": BUCKETS, **more.head},
    }
    return Trained(write_version(run, fitted, encoder, tensors, values), history, data.truth, chances)


def _fit(
    run: Run, encoder: Encoder, data: _Rows, training_set: str, ranks: Ranks | None, until: Mapping[int, int] | None = None
) -> Fitted:
    def build(adapted: AdaptedEncoder) -> Learner:
        return _learner(adapted, data, run.settings)

    return fit(run, encoder, len(data.texts), build, training_set, ranks, until)


def _best_epochs(history: Sequence[Progress]) -> dict[int, int]:
    """Return the epoch that scored best for each seed."""
    best: dict[int, Progress] = {}
    for one in history:
        if one.seed not in best or one.score >= best[one.seed].score:
            best[one.seed] = one
    return {seed: one.epoch for seed, one in best.items()}


class _Rows:
    """Training and validation rows as numbers; what is predicted are the validation rows, then those to calibrate by."""

    def __init__(
        self,
        training: Sequence[Labelled],
        validation: Sequence[Labelled],
        names: Sequence[str],
        sent: Sequence[Labelled] = (),
    ) -> None:
        rows = {name: row for row, name in enumerate(names)}
        self.texts = [example.text for example in training]
        self.targets = [rows[example.label] for example in training]
        self.judged = [example.text for example in (*validation, *sent)]
        self.truth = np.array([rows[example.label] for example in validation])
        self.sent = np.array([rows[example.label] for example in sent], dtype=np.int64)
        self.classes = len(names)
        self.oos = names.index(OUT_OF_SCOPE) if OUT_OF_SCOPE in names else -1  # type: ignore[attr-defined]


def _learner(adapted: AdaptedEncoder, data: _Rows, settings: TrainSettings) -> Learner:
    """Return the learner; it predicts the validation rows' logits ``(n, C)``."""
    import torch
    from torch.nn import functional as fn

    head: Any = class_head(adapted.dim, data.classes)
    targets = torch.tensor(data.targets)
    weights = class_weights(targets, data.classes, settings.class_weights, data.oos)
    copies = [data.texts]
    if settings.augments:
        copies += [variants(data.texts, settings, number) for number in range(_COPIES)]
    states = [adapted.prepare(texts) for texts in copies]
    grams = [[hashed(text) for text in texts] for texts in copies]
    taken = [0] * len(data.texts)
    judged, judged_grams = adapted.prepare(data.judged), [hashed(text) for text in data.judged]
    begin = probe if settings.head_start == "probe" else imprint
    begin(head, adapted, states[0], targets)

    def fresh(rng: random.Random) -> None:
        taken[:] = [0 if len(copies) == 1 or rng.random() < 0.5 else rng.randrange(1, len(copies)) for _ in taken]

    def scored(lower: Sequence[Prepared], rows: Sequence[Hashed]) -> tuple[Tensor, Tensor]:
        vectors = adapted.pool(*adapted.hidden(lower))
        buckets, offsets, values = bags(rows)
        wide = fn.embedding_bag(buckets, head.wide.weight, offsets, mode="sum", per_sample_weights=values)
        dropped = fn.dropout(vectors, settings.dropout, training=head.training)
        return SCALE * head.deep(dropped) + wide, vectors

    def loss(batch: list[int]) -> Tensor:
        logits, vectors = scored([states[taken[row]][row] for row in batch], [grams[taken[row]][row] for row in batch])
        wanted = targets[batch]
        value = fn.cross_entropy(logits, wanted, weight=weights, label_smoothing=settings.label_smoothing)
        return value + settings.contrast * contrastive(vectors, wanted) if settings.contrast else value

    def predict() -> NDArray[np.float32]:
        found = np.zeros((len(judged), data.classes), dtype=np.float32)
        for batch in by_length([len(state) for state in judged], 128):
            found[batch] = scored([judged[row] for row in batch], [judged_grams[row] for row in batch])[0].numpy()
        return found

    def judge() -> float:
        found = predict()[: len(data.truth)]
        # Accuracy on the company's own business first, then how well the rest is told apart, then the likelihood.
        inside = data.truth != data.oos
        right = float((found[inside].argmax(1) == data.truth[inside]).mean()) if inside.any() else 0.0
        apart = auroc(softmax(found)[:, data.oos], ~inside) if data.oos >= 0 else 1.0
        chance = softmax(found)[np.arange(len(data.truth)), data.truth]
        return 0.8 * right + 0.18 * apart + 0.02 * math.exp(float(np.log(chance + 1e-9).mean()))

    return Learner(head, [len(row) for row in states[0]], loss, predict, judge, fresh)


def predict_classes(
    encoder: Encoder, name: str, head: dict[str, Tensor], temperature: float, texts: Sequence[str], batch: int = 64
) -> NDArray[np.float32]:
    """Judge texts with the serving path.

    Args:
        encoder: With the adapter ``name`` set.
        name: Adapter name in the encoder's bank.
        head: The head's tensors.
        temperature: Divides the logits.
        texts: ``n`` texts.
        batch: Texts per forward pass.

    Returns:
        Probabilities ``(n, C)``.
    """
    found = np.zeros((len(texts), len(head["deep.bias"])), dtype=np.float32)
    for rows in by_length([len(text) for text in texts], batch):
        chunk = [texts[row] for row in rows]
        block = encoder.encode_for_tasks(chunk)
        found[rows] = (class_logits(head, encoder.pool(block.hidden[name], block.mask), chunk) / temperature).numpy()
    return softmax(found) if len(texts) else found


def choose_thresholds(chances: NDArray[np.float32], truth: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    """Choose the thresholds of the check on validation: ``min_confidence`` and, with an ``oos`` class, ``max_out_of_scope``."""
    if OUT_OF_SCOPE not in names:
        return {"min_confidence": choose_threshold(chances, truth)}
    oos = list(names).index(OUT_OF_SCOPE)
    most = choose_out_of_scope_threshold(chances[:, oos], truth == oos)
    # As the check uses it: among what is not refused as out of scope, the best intent beside that class.
    answered = (truth != oos) & (chances[:, oos] <= most)
    business = chances[answered].copy()
    business[:, oos] = 0.0
    return {"max_out_of_scope": most, "min_confidence": choose_threshold(business, truth[answered])}
