"""Figures against values worked out by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.evaluate import (
    auroc,
    choose_out_of_scope_threshold,
    choose_threshold,
    classification_figures,
    coverage_at,
    expected_calibration_error,
    fit_temperature,
    macro_f1,
    softmax,
    span_figures,
)

RNG = np.random.default_rng(5)
NOTHING = np.zeros((0, 3), dtype=np.float32)
NO_TRUTH = np.zeros(0, dtype=np.int64)


def nll(logits: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(softmax(logits)[np.arange(len(truth)), truth]).mean())


def two_way(confidence: list[float]) -> np.ndarray:
    """Chances of two classes whose arg-max is class 0."""
    return np.array([[c, 1 - c] for c in confidence], dtype=np.float32)


def test_softmax_survives_large_logits() -> None:
    found = softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(found, [[0.5, 0.5], [0.0, 1.0]])


def test_temperature_lowers_the_likelihood_loss_of_an_overconfident_model() -> None:
    truth = RNG.integers(0, 4, 400)
    logits = RNG.normal(size=(400, 4)).astype(np.float32)
    logits[np.arange(400), truth] += 1.0
    overconfident = logits * 3
    temperature = fit_temperature(overconfident, truth)
    assert temperature > 1.5
    assert nll(overconfident / temperature, truth) < nll(overconfident, truth)
    assert 0.25 <= fit_temperature(logits / 100, truth) < 1.0
    assert fit_temperature(NOTHING, NO_TRUTH) == 1.0


def test_calibration_error_is_zero_for_perfect_calibration_and_the_gap_else() -> None:
    perfect = two_way([0.75] * 4)
    assert expected_calibration_error(perfect, np.array([0, 0, 0, 1])) == pytest.approx(0.0, abs=1e-6)
    assert expected_calibration_error(two_way([1.0] * 4), np.array([0, 0, 1, 1])) == pytest.approx(0.5)
    # Two bins: 2 of 4 rows at 0.9 all right (gap 0.1), 2 at 0.6 all wrong (gap 0.6).
    assert expected_calibration_error(two_way([0.9, 0.9, 0.6, 0.6]), np.array([0, 0, 1, 1])) == pytest.approx(0.35)
    assert expected_calibration_error(NOTHING, NO_TRUTH) == 0.0


def test_auroc_counts_ties_half() -> None:
    yes = np.array([True, True, False, False])
    assert auroc(np.array([0.9, 0.8, 0.2, 0.1], dtype=np.float32), yes) == 1.0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5], dtype=np.float32), yes) == 0.5
    assert auroc(np.array([0.9, 0.5, 0.5, 0.1], dtype=np.float32), yes) == pytest.approx(3.5 / 4)
    assert auroc(np.array([0.9, 0.8], dtype=np.float32), np.array([True, True])) == 0.5


def test_macro_f1_by_hand() -> None:
    # class 0: 2 of 3 and 2 of 2 -> 0.8; class 1: 0; class 2 only predicted: 0
    assert macro_f1(np.array([0, 0, 0, 2]), np.array([0, 0, 1, 1])) == pytest.approx(0.8 / 3)
    assert macro_f1(NO_TRUTH, NO_TRUTH) == 0.0


def test_f1_and_auroc_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    for _ in range(5):
        truth, predicted = RNG.integers(0, 5, 60), RNG.integers(0, 5, 60)
        assert macro_f1(predicted, truth) == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
        scores = RNG.integers(0, 8, 60).astype(np.float32)
        assert auroc(scores, truth > 2) == pytest.approx(metrics.roc_auc_score(truth > 2, scores))


def test_coverage_is_the_largest_share_at_the_precision() -> None:
    chances = two_way([0.99, 0.95, 0.9, 0.8, 0.7])
    assert coverage_at(chances, np.array([0, 0, 1, 0, 1]), precision=0.75) == pytest.approx(0.8)
    assert coverage_at(chances, np.array([0, 0, 0, 0, 0])) == 1.0
    assert coverage_at(chances, np.array([1, 1, 1, 1, 1])) == 0.0
    assert coverage_at(NOTHING, NO_TRUTH) == 0.0


def test_thresholds_stay_in_their_range() -> None:
    chances = two_way([0.99, 0.7, 0.65, 0.6])
    assert choose_threshold(chances, np.array([0, 0, 1, 1])) == pytest.approx(0.7)
    assert choose_threshold(chances, np.array([1, 1, 1, 1])) == pytest.approx(0.8)
    assert choose_threshold(two_way([0.99]), np.array([0])) == pytest.approx(0.8)
    assert choose_threshold(NOTHING, NO_TRUTH) == 0.5
    scores = np.linspace(0, 0.5, 41, dtype=np.float32)
    inside = np.zeros(41, dtype=bool)
    assert choose_out_of_scope_threshold(scores, inside, 0.975) == pytest.approx(0.4875)
    assert choose_out_of_scope_threshold(scores * 0, inside) == pytest.approx(0.05)
    assert choose_out_of_scope_threshold(scores, ~inside) == 0.5


def test_out_of_scope_rows_are_judged_apart_and_unknown_labels_are_wrong() -> None:
    names = ("a", "b", "oos")
    chances = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.1, 0.4]], dtype=np.float32)
    figures = classification_figures(chances, np.array([0, 1, -1, 2, 2]), names)
    assert figures["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3, abs=1e-4)
    assert figures["oos_recall"] == 0.5 and figures["oos_auroc"] == 1.0
    assert "oos_recall" not in classification_figures(chances[:, :2], np.array([0, 1, 0, 1, 0]), ("a", "b"))
    assert classification_figures(NOTHING, NO_TRUTH, names)["accuracy"] == 0.0


def test_spans_count_only_when_both_ends_and_the_slot_are_right() -> None:
    truth = [[(0, 3, "p"), (5, 8, "d")], [(0, 2, "p")], []]
    found = [[(0, 3, "p"), (5, 7, "d")], [(0, 2, "d")], [(1, 2, "p")]]
    assert span_figures(found, truth) == {"precision": 0.25, "recall": 0.3333, "f1": 0.2857}
    assert span_figures(truth, truth) == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert span_figures([[]], [[]]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
