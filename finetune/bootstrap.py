"""Scores of single examples -> how far their figure would wander on another holdout of the same size.

Rows are drawn again with replacement and the figure is counted anew each time (Efron & Tibshirani 1993); the same drawn
rows for both sides when two versions are compared (Koehn 2004). Numbers only; knows no model, no file and no threshold.
Before: ``evaluate``, ``judge``. After: ``promote`` and the reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Numbers drawn at once; keeps a chunk of drawn rows near 8 MB whatever the holdout's size.
_CHUNK = 1_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure on the holdout with the ends of its confidence interval."""

    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """How far a candidate's mean lies above the champion's on the same rows.

    ``p_worse`` is the share of redrawn holdouts on which the candidate was worse, ties counting half; two equal versions
    have 0.5.
    """

    difference: float
    low: float
    high: float
    p_worse: float


def interval(scores: ArrayLike, seed: int, samples: int = 2000, level: float = 0.95) -> Interval:
    """Bound a mean of per-example scores by the percentile bootstrap (Efron & Tibshirani 1993, chapter 13).

    Args:
        scores: One score per example ``(n,)``, 0/1 or real, as accuracy, recall@1 or reciprocal rank have them.
        seed: Of the drawing; the same seed gives the same interval.
        samples: Redrawn holdouts.
        level: Share of redrawn holdouts inside the interval, in (0, 1).

    Returns:
        The mean with both ends.

    Raises:
        TrainingError: If there is no score, or one of them is not a finite number.
    """
    values = _scores(scores, "scores")
    return _around(float(values.mean()), _means(values, seed, samples), level)


def interval_of(
    statistic: Callable[[NDArray[np.int64]], float], rows: int, seed: int, samples: int = 2000, level: float = 0.95
) -> Interval:
    """Bound any figure of a holdout by the percentile bootstrap; ``f1_interval`` is faster where it fits.

    A figure that is biased on few rows, such as a calibration error, can lie outside its own percentile interval.

    Args:
        statistic: Counts the figure over the drawn rows, an array ``(rows,)`` of indices with repeats.
        rows: Size of the holdout.
        seed: Of the drawing.
        samples: Redrawn holdouts; the statistic is called once for each.
        level: Share of redrawn holdouts inside the interval.

    Returns:
        The figure over all rows, each once, with both ends.

    Raises:
        TrainingError: If there is no row, or the figure is not a finite number.
    """
    if rows < 1:
        raise TrainingError(f"a confidence interval needs at least one row of holdout, got {rows}; add labelled rows")
    value = float(statistic(np.arange(rows)))
    drawn = np.array([statistic(row) for chunk in _draws(rows, seed, samples) for row in chunk], dtype=np.float64)
    if not (np.isfinite(value) and np.isfinite(drawn).all()):
        raise TrainingError("the figure is not a finite number on some drawn rows; let it return 0.0 where it is undefined")
    return _around(value, drawn, level)


def f1_interval(
    hits: ArrayLike, guessed: ArrayLike, wanted: ArrayLike, seed: int, samples: int = 2000, level: float = 0.95
) -> Interval:
    """Bound an F1 that is counted from what each example adds, ``2 hits / (guessed + wanted)``.

    One column is the micro F1 over spans, with the counts of each text. Several columns are the mean over classes: macro-F1
    with one-hot predictions as ``guessed``, one-hot truth as ``wanted`` and their product as ``hits``. A class that neither
    occurs nor is predicted in a redrawn holdout is left out of its mean, as ``evaluate.macro_f1`` leaves it out.

    Args:
        hits: Right guesses per example, ``(n,)`` or ``(n, C)``.
        guessed: All guesses, the same shape.
        wanted: All that was to be found, the same shape.
        seed: Of the drawing.
        samples: Redrawn holdouts.
        level: Share of redrawn holdouts inside the interval.

    Returns:
        The F1 over all rows with both ends.

    Raises:
        TrainingError: If there is no row, the shapes differ, or a count is not a finite number.
    """
    tops, others, more = (np.asarray(counts, dtype=np.float64) for counts in (hits, guessed, wanted))
    if not len(tops) or tops.shape != others.shape or tops.shape != more.shape:
        raise TrainingError(
            f"F1 needs hits, guessed and wanted of one shape with at least one row, got {tops.shape}, {others.shape} and "
            f"{more.shape}; count all three over the same texts"
        )
    top, bottom = 2 * tops.reshape(len(tops), -1), (others + more).reshape(len(tops), -1)
    if not (np.isfinite(top).all() and np.isfinite(bottom).all()):
        raise TrainingError("the counts for F1 hold a value that is not finite; count them again from the predictions")
    rows = len(top)
    drawn = []
    for chunk in _draws(rows, seed, samples):
        # How often each row was drawn (s, n): two matrix products in place of gathering (s, n, C).
        places = chunk + rows * np.arange(len(chunk))[:, None]
        weights = np.bincount(places.ravel(), minlength=rows * len(chunk)).reshape(len(chunk), rows).astype(np.float64)
        drawn.append(_mean_f1(weights @ top, weights @ bottom))
    value = float(_mean_f1(top.sum(0, keepdims=True), bottom.sum(0, keepdims=True))[0])
    return _around(value, np.concatenate(drawn), level)


def paired(candidate: ArrayLike, champion: ArrayLike, seed: int, samples: int = 2000, level: float = 0.95) -> Paired:
    """Bound the difference of two versions on the same rows by the paired bootstrap (Koehn 2004).

    Pairing takes out what both find hard, so far smaller differences show than from two single intervals.

    Args:
        candidate: Scores of the candidate ``(n,)``.
        champion: Scores of the champion on the same rows in the same order ``(n,)``.
        seed: Of the drawing.
        samples: Redrawn holdouts.
        level: Share of redrawn differences inside the interval.

    Returns:
        Candidate minus champion with both ends and the share of redrawn holdouts on which the candidate was worse.

    Raises:
        TrainingError: If there is no score, the lengths differ, or a score is not a finite number.
    """
    ours, theirs = _scores(candidate, "the candidate's scores"), _scores(champion, "the champion's scores")
    if len(ours) != len(theirs):
        raise TrainingError(
            f"a paired comparison needs the same rows for both, got {len(ours)} for the candidate and {len(theirs)} for the "
            "champion; judge both on one holdout"
        )
    gaps = ours - theirs
    drawn = _means(gaps, seed, samples)
    found = _around(float(gaps.mean()), drawn, level)
    return Paired(found.value, found.low, found.high, float((drawn < 0).mean() + (drawn == 0).mean() / 2))


def calibration_noise(confidence: ArrayLike, seed: int, samples: int = 1000, level: float = 0.95, bins: int = 15) -> float:
    """Return the calibration error that a perfectly calibrated model stays under with chance ``level``, by luck alone.

    On few rows the expected calibration error is far above zero even for a perfect model, so an observed one says little
    below this figure. Each row is made right with the chance its confidence claims, and the error counted, many times
    (consistency resampling, Bröcker & Smith 2007).

    Args:
        confidence: Confidence in the answer given ``(n,)``, in [0, 1].
        seed: Of the drawing.
        samples: Simulated outcomes.
        level: Quantile of the simulated errors.
        bins: Equal-width bins, as many as ``evaluate.expected_calibration_error`` has.

    Returns:
        The error, in [0, 1]; 0.0 without rows.

    Raises:
        TrainingError: If a confidence is not a number in [0, 1].
    """
    sure = np.asarray(confidence, dtype=np.float64).ravel()
    if not len(sure):
        return 0.0
    if not ((sure >= 0) & (sure <= 1 + 1e-6)).all():  # a float32 softmax may end a hair above 1
        raise TrainingError("a confidence lies outside 0 to 1 or is not a number; give calibrated probabilities")
    places = np.eye(bins)[np.minimum((sure * bins).astype(int), bins - 1)]
    random = np.random.default_rng(seed)
    step = max(_CHUNK // len(sure), 1)
    errors = []
    for start in range(0, samples, step):
        right = random.random((min(step, samples - start), len(sure))) < sure
        # Within a bin: share of rows times |accuracy - mean confidence| = |sum of (right - confidence)| / n.
        errors.append(np.abs((right - sure) @ places).sum(1) / len(sure))
    return float(np.quantile(np.concatenate(errors), level))


def _scores(values: ArrayLike, name: str) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise TrainingError(f"{name} must be one number per row and at least one row, got shape {scores.shape}; add rows")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise TrainingError(f"{name}: row {row} is {scores[row]}; every row needs a finite score")
    return scores


def _draws(rows: int, seed: int, samples: int) -> Iterator[NDArray[np.int64]]:
    """Yield chunks ``(s, rows)`` of row indices drawn with replacement, ``samples`` lines in all."""
    random = np.random.default_rng(seed)
    step = max(_CHUNK // rows, 1)
    for start in range(0, samples, step):
        yield random.integers(0, rows, (min(step, samples - start), rows))


def _means(values: NDArray[np.float64], seed: int, samples: int) -> NDArray[np.float64]:
    return np.concatenate([values[chunk].mean(1) for chunk in _draws(len(values), seed, samples)])


def _mean_f1(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    there = bottom > 0
    scores = np.divide(top, bottom, out=np.zeros_like(top), where=there)
    mean: NDArray[np.float64] = scores.sum(1) / np.maximum(there.sum(1), 1)
    return mean


def _around(value: float, drawn: NDArray[np.float64], level: float) -> Interval:
    """Return the figure between the two percentiles that hold ``level`` of the drawn ones."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), value, float(high))
