"""Fusion of dense and lexical scores: one convex combination, and the choice of its weight.

    score = alpha * max(0, cosine) + (1 - alpha) * coverage

Both parts keep their own fixed scale instead of being stretched for each question (Bruch, Gai and Ingber, "An Analysis of
Fusion Functions for Hybrid Retrieval", 2023, on convex combination with theoretical bounds). So the sum lies in [0, 1],
means the same for every question, and can be held against a threshold. Ranks are not fused: reciprocal rank fusion throws
away how much better the first is. Knows nothing of files, filters or index kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from retrieval.lexical import Lexical, build

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assistant.records import Passage

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]

PRIOR_ALPHA = 0.55  # between the best values on feedbackqa's train (0.5) and validation (0.6) queries
# The shipped encoder knows little Chinese: on the sample company's utterances, MRR 0.39 by words alone, 0.17 by the encoder
# alone. An encoder that knows more earns its weight in choose_alphas.
PRIOR_BY_LANG = {"zh": 0.1}
ALPHAS = tuple(round(0.05 * step, 2) for step in range(21))
_SAMPLE = 300
_LEAST_QUERIES = 40


def combine(dense: NDArray[np.float32], lexical: NDArray[np.float32], alpha: float) -> NDArray[np.float32]:
    """Fuse two score arrays of one shape.

    Args:
        dense: Cosines in [-1, 1].
        lexical: Coverages in [0, 1].
        alpha: Weight of the dense part in [0, 1].

    Returns:
        Scores in [0, 1], same shape, float32.
    """
    fused: NDArray[np.float32] = np.clip(alpha * np.maximum(dense, 0) + (1 - alpha) * lexical, 0, 1).astype(np.float32)
    return fused


def choose_alphas(
    passages: Sequence[Passage], vectors: NDArray[np.float32], lexical: Lexical, encode: Encode | None, seed: int
) -> dict[str, float]:
    """Choose the weight of the dense part for each language from the passages alone.

    Two kinds of question whose answer is known are asked. Where passages carry an intent, a passage's own search text is
    the question and others of its intent are the answers, itself left out: wording differs, meaning agrees. Where
    articles have headings, the heading is the question and its section without heading the answer (an inverse cloze
    task); this one needs ``encode``. Of the weights within one standard error of the best mean reciprocal rank the one
    nearest to the language's prior is taken, so that little evidence moves it little.

    Args:
        passages: ``n`` passages.
        vectors: ``(n, d)`` float32 unit vectors of their search texts.
        lexical: BM25 over the same search texts, same order.
        encode: Texts to unit vectors; ``None`` leaves the second kind out.
        seed: Of the samples.

    Returns:
        Weight in [0, 1] by language, for languages with at least 40 questions.
    """
    rng = np.random.default_rng(seed)
    by_language: dict[str, list[int]] = {}
    for row, one in enumerate(passages):
        by_language.setdefault(one.lang, []).append(row)
    alphas: dict[str, float] = {}
    for lang, rows in by_language.items():
        ranks = [*_by_intent(rows, passages, vectors, lexical, rng), *_by_heading(rows, passages, encode, rng)]
        if len(ranks) >= _LEAST_QUERIES:
            alphas[lang] = _nearest_to(PRIOR_BY_LANG.get(lang, PRIOR_ALPHA), np.stack(ranks))
    return alphas


def _nearest_to(prior: float, gains: NDArray[np.float64]) -> float:
    """Pick from reciprocal ranks ``(queries, alphas)``; the error is that of the paired difference to the best."""
    best = int(gains.mean(0).argmax())
    loss = gains[:, [best]] - gains
    error = loss.std(0) / np.sqrt(len(gains))
    good = [alpha for alpha, mean, bar in zip(ALPHAS, loss.mean(0), error, strict=True) if mean <= bar]
    return min(good, key=lambda alpha: abs(alpha - prior))


def _reciprocal_ranks(
    dense: NDArray[np.float32], lexical: NDArray[np.float32], relevant: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the reciprocal rank ``(alphas,)`` of the best relevant row for one question over ``(rows,)`` scores."""
    out = np.zeros(len(ALPHAS))
    for place, alpha in enumerate(ALPHAS):
        scores = combine(dense, lexical, alpha)
        best = scores[relevant].max()
        out[place] = 1 / (1 + int((scores[~relevant] >= best).sum()))
    return out


def _by_intent(
    rows: list[int],
    passages: Sequence[Passage],
    vectors: NDArray[np.float32],
    lexical: Lexical,
    rng: np.random.Generator,
) -> list[NDArray[np.float64]]:
    labelled = [row for row in rows if passages[row].intent]
    intents = np.array([passages[row].intent for row in labelled])
    names, counts = np.unique(intents, return_counts=True) if labelled else (np.array([]), np.array([]))
    if len(names) < 5:
        return []
    usual = dict(zip(names.tolist(), counts.tolist(), strict=True))
    pool = np.array(labelled)
    block = vectors[pool]
    # a customer's own words make the likeliest question; articles and templates stand in where no reply is labelled
    asked = [place for place in range(len(pool)) if usual[intents[place]] > 1]
    replies = [place for place in asked if passages[pool[place]].kind == "reply"]
    asked = replies if len(replies) >= _LEAST_QUERIES else asked
    ranks = []
    for place in rng.permutation(asked)[:_SAMPLE].tolist():
        row = int(pool[place])
        others = np.arange(len(pool)) != place
        relevant = intents[others] == intents[place]
        dense = (block @ vectors[row])[others]
        ranks.append(_reciprocal_ranks(dense, lexical.coverage(passages[row].search_text)[pool[others]], relevant))
    return ranks


def _by_heading(
    rows: list[int], passages: Sequence[Passage], encode: Encode | None, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    by_title = {passages[row].title: row for row in rows if passages[row].kind == "article" and passages[row].title}
    if encode is None or len(by_title) < _LEAST_QUERIES:
        return []
    sample = [list(by_title.values())[place] for place in rng.permutation(len(by_title))[:_SAMPLE].tolist()]
    bodies = [passages[row].text for row in sample]
    questions = [passages[row].title.split(" › ")[-1] for row in sample]
    dense = encode(questions) @ encode(bodies).T
    lexical = build(bodies)
    ranks = []
    for place, question in enumerate(questions):
        relevant = np.arange(len(sample)) == place
        ranks.append(_reciprocal_ranks(dense[place], lexical.coverage(question), relevant))
    return ranks
