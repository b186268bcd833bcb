"""Intervals against the formulas of the textbook, and what they must say about two versions."""

from __future__ import annotations

import numpy as np
import pytest

from assistant.errors import TrainingError
from finetune.bootstrap import Interval, calibration_noise, f1_interval, interval, interval_of, paired
from finetune.evaluate import expected_calibration_error, macro_f1, span_figures


def test_an_interval_of_a_mean_is_the_normal_one_on_many_rows() -> None:
    scores = np.random.default_rng(1).random(1200) < 0.8
    found = interval(scores, seed=3)
    half = 1.96 * np.sqrt(scores.mean() * (1 - scores.mean()) / len(scores))
    assert found.value == pytest.approx(scores.mean())
    assert found.low == pytest.approx(scores.mean() - half, abs=0.003)
    assert found.high == pytest.approx(scores.mean() + half, abs=0.003)


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(2)
    holdouts = [interval(random.random(200) < 0.7, seed=number, samples=400) for number in range(300)]
    assert 0.90 <= np.mean([found.low <= 0.7 <= found.high for found in holdouts]) <= 0.98


def test_the_seed_alone_decides_and_the_chunks_do_not_show() -> None:
    scores = np.random.default_rng(4).random(5000)
    assert interval(scores, seed=1) == interval(scores, seed=1) != interval(scores, seed=2)
    assert paired(scores, scores**2, seed=1) == paired(scores, scores**2, seed=1)
    assert interval(np.ones(3), seed=0) == Interval(1.0, 1.0, 1.0)


def test_any_figure_gets_an_interval_and_the_fast_f1_agrees_with_it() -> None:
    random = np.random.default_rng(5)
    truth = random.integers(0, 6, 250)
    predicted = np.where(random.random(250) < 0.75, truth, random.integers(0, 6, 250))
    slow = interval_of(lambda rows: macro_f1(predicted[rows], truth[rows]), 250, seed=9, samples=500)
    guessed, wanted = np.eye(6)[predicted], np.eye(6)[truth]
    fast = f1_interval(guessed * wanted, guessed, wanted, seed=9, samples=500)
    assert (fast.low, fast.value, fast.high) == pytest.approx((slow.low, slow.value, slow.high))
    assert slow.low < slow.value < slow.high


def test_a_class_that_is_not_drawn_does_not_lower_macro_f1() -> None:
    truth = np.array([0] * 20 + [1])
    wanted = np.eye(3)[truth]
    assert f1_interval(wanted, wanted, wanted, seed=0) == Interval(1.0, 1.0, 1.0)


def test_span_f1_comes_from_the_counts_of_each_text() -> None:
    truth = [[(0, 3, "p"), (5, 8, "d")], [(0, 2, "p")], [], [(1, 4, "d")]]
    found = [[(0, 3, "p"), (5, 7, "d")], [(0, 2, "d")], [(1, 2, "p")], [(1, 4, "d")]]
    hits = [len(set(ours) & set(right)) for ours, right in zip(found, truth, strict=True)]
    result = f1_interval(hits, [len(ours) for ours in found], [len(right) for right in truth], seed=0)
    assert result.value == pytest.approx(span_figures(found, truth)["f1"], abs=1e-4)
    assert 0.0 <= result.low < result.value < result.high <= 1.0


def test_pairing_shows_a_difference_that_two_intervals_hide() -> None:
    random = np.random.default_rng(6)
    champion = random.random(400) < 0.8
    candidate = champion.copy()
    candidate[np.flatnonzero(champion)[:10]] = False
    found = paired(candidate, champion, seed=0)
    assert found.difference == pytest.approx(-0.025)
    assert found.high < 0 and found.p_worse > 0.99
    assert interval(candidate, seed=0).high > interval(champion, seed=0).low


def test_equal_versions_are_worse_half_of_the_time() -> None:
    scores = np.random.default_rng(7).random(100) < 0.5
    same = paired(scores, scores, seed=0)
    assert (same.difference, same.low, same.high, same.p_worse) == (0.0, 0.0, 0.0, 0.5)


def test_calibration_noise_is_large_on_few_rows_and_holds_a_perfect_model() -> None:
    random = np.random.default_rng(8)
    noise = {rows: calibration_noise(random.uniform(0.5, 1, rows), seed=0) for rows in (50, 500, 5000)}
    assert noise[50] > 0.1 > noise[500] > noise[5000] > 0.0
    sure = random.uniform(0.5, 1, 300).astype(np.float32)
    within = []
    for _ in range(200):
        truth = (random.random(300) >= sure).astype(np.int64)
        error = expected_calibration_error(np.stack([sure, 1 - sure], axis=1), truth)
        within.append(error <= calibration_noise(sure, seed=1, samples=200))
    assert 0.90 <= np.mean(within) <= 0.99
    assert calibration_noise([], seed=0) == 0.0


@pytest.mark.parametrize("bad", [[], [[1.0, 0.0]], [1.0, float("nan")], [float("inf")]])
def test_scores_that_are_none_or_not_finite_are_refused(bad: list[float]) -> None:
    with pytest.raises(TrainingError, match="row"):
        interval(bad, seed=0)


def test_comparisons_over_different_rows_are_refused() -> None:
    with pytest.raises(TrainingError, match="judge both on one holdout"):
        paired([1.0, 0.0], [1.0], seed=0)
    with pytest.raises(TrainingError, match="one shape"):
        f1_interval([1, 0], [1, 0], [1], seed=0)
    with pytest.raises(TrainingError, match="not finite"):
        f1_interval([1.0], [float("nan")], [1.0], seed=0)
    with pytest.raises(TrainingError, match="at least one row"):
        interval_of(lambda rows: 0.0, 0, seed=0)
    with pytest.raises(TrainingError, match="undefined"):
        interval_of(lambda rows: float("nan"), 3, seed=0)
    with pytest.raises(TrainingError, match="outside 0 to 1"):
        calibration_noise([0.5, float("nan")], seed=0)
