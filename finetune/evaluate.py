"""Predictions and truth -> figures, calibration and thresholds. Numbers only; knows no model and no file.

Sources: expected calibration error with 15 equal-width bins (Guo et al. 2017); span F1 as conlleval counts it;
AUROC by ranks (Mann-Whitney).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from finetune.examples import OUT_OF_SCOPE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return row-wise softmax of logits ``(n, C)``."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def fit_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Choose the temperature in [0.25, 4] with the least negative log-likelihood.

    Args:
        logits: ``(n, C)``.
        truth: Class rows ``(n,)``.

    Returns:
        The temperature; 1.0 without examples.
    """
    if not len(truth):
        return 1.0
    grid = np.geomspace(0.25, 4.0, 81)
    rows = np.arange(len(truth))
    costs = [-np.log(softmax(logits / np.float32(t))[rows, truth] + 1e-12).mean() for t in grid]
    return float(grid[int(np.argmin(costs))])


def expected_calibration_error(chances: NDArray[np.float32], truth: NDArray[np.int64], bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over equal-width bins, in [0, 1]."""
    if not len(truth):
        return 0.0
    confidence, right = chances.max(axis=1), chances.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = 0.0
    for number in range(bins):
        inside = place == number
        if inside.any():
            gap += float(inside.mean()) * abs(float(right[inside].mean()) - float(confidence[inside].mean()))
    return gap


def auroc(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """Return the probability that a positive scores above a negative, ties counting half; 0.5 if a side is empty."""
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2.0)[inverse]
    return float((ranks[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def macro_f1(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that occur in truth or predictions."""
    scores = []
    for label in np.union1d(predicted, truth):
        hit = int(((predicted == label) & (truth == label)).sum())
        total = int((predicted == label).sum() + (truth == label).sum())
        scores.append(2 * hit / total if total else 0.0)
    return float(np.mean(scores)) if scores else 0.0


def coverage_at(chances: NDArray[np.float32], truth: NDArray[np.int64], precision: float = 0.95) -> float:
    """Return the largest share of questions that can be answered while ``precision`` of the answers are right."""
    if not len(truth):
        return 0.0
    order = np.argsort(-chances.max(axis=1), kind="stable")
    right = (chances.argmax(axis=1) == truth)[order]
    good = np.cumsum(right) / np.arange(1, len(right) + 1) >= precision
    return float((np.flatnonzero(good)[-1] + 1) / len(right)) if good.any() else 0.0


def choose_threshold(chances: NDArray[np.float32], truth: NDArray[np.int64], precision: float = 0.97) -> float:
    """Return the confidence from which on answers were right with ``precision`` on validation, within [0.3, 0.8]."""
    if not len(truth):
        return 0.5
    confidence = chances.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (chances.argmax(axis=1) == truth)[order]
    good = np.flatnonzero(np.cumsum(right) / np.arange(1, len(right) + 1) >= precision)
    return min(max(float(confidence[order[good[-1]]]) if len(good) else 0.8, 0.3), 0.8)


def choose_out_of_scope_threshold(scores: NDArray[np.float32], outside: NDArray[np.bool_], kept: float = 0.98) -> float:
    """Return the out-of-scope score above which a message is refused, such that ``kept`` of the others stay."""
    inside = scores[~outside]
    return min(max(float(np.quantile(inside, kept)), 0.05), 0.9) if len(inside) else 0.5


def classification_figures(chances: NDArray[np.float32], truth: NDArray[np.int64], names: Sequence[str]) -> dict[str, float]:
    """Summarise a classifier.

    Args:
        chances: Calibrated probabilities ``(n, C)``.
        truth: Class rows ``(n,)``; -1 for a label the classifier does not know, counted as wrong.
        names: Class names; ``oos`` is treated as outside.

    Returns:
        ``accuracy macro_f1 ece coverage_at_95`` over in-scope rows and, if there is an ``oos`` class,
        ``oos_recall`` (by arg-max) and ``oos_auroc``.
    """
    figures: dict[str, float] = {}
    inside = np.ones(len(truth), dtype=bool)
    if OUT_OF_SCOPE in names:
        oos = list(names).index(OUT_OF_SCOPE)
        inside = truth != oos
        if (~inside).any():
            figures["oos_recall"] = float((chances[~inside].argmax(1) == oos).mean())
            figures["oos_auroc"] = auroc(chances[:, oos], ~inside)
    rows, right = chances[inside], truth[inside]
    figures["accuracy"] = float((rows.argmax(1) == right).mean()) if len(right) else 0.0
    figures["macro_f1"] = macro_f1(rows.argmax(1), right)
    figures["ece"] = expected_calibration_error(rows, right)
    figures["coverage_at_95"] = coverage_at(rows, right)
    return {key: round(value, 4) for key, value in figures.items()}


def span_figures(
    predicted: Sequence[Sequence[tuple[int, int, str]]], truth: Sequence[Sequence[tuple[int, int, str]]]
) -> dict[str, float]:
    """Return exact-match span ``precision recall f1`` over all texts."""
    hits = sum(len(set(found) & set(right)) for found, right in zip(predicted, truth, strict=True))
    guessed, wanted = sum(len(set(found)) for found in predicted), sum(len(set(right)) for right in truth)
    precision, recall = hits / guessed if guessed else 0.0, hits / wanted if wanted else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}
