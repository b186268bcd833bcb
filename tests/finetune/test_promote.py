"""The gate against simulated versions: what poisons a champion is refused and named, what is as good or better passes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from assistant.errors import SettingsError, TrainingError
from finetune.evaluate import expected_calibration_error
from finetune.promote import COLUMNS, RARE, Bounds, GateVerdict, Judged, judge_candidate

INTENTS = ("cancel order", "refund", "shipping", "login", "invoice", "warranty", "address", "payment", "coupon", "stock")
ROWS = 400
TRUTH = np.random.default_rng(0).integers(0, len(INTENTS), ROWS)
BOUNDS = Bounds()


def judged(predicted: np.ndarray, truth: np.ndarray = TRUTH, cases: np.ndarray | None = None) -> Judged:
    """A version that predicts so, calibrated on the whole, of the speed and the regression cases of a sound one."""
    right = predicted == truth
    return Judged(
        right=right,
        labels=tuple(INTENTS[row] for row in truth),
        confidence=np.full(len(truth), right.mean(), dtype=np.float32),
        regression=np.ones(100, dtype=bool) if cases is None else cases,
        latency_ms=20.0,
        ece=0.02,
    )


def serving(truth: np.ndarray = TRUTH, accuracy: float = 0.9, seed: int = 1) -> np.ndarray:
    """Predictions that are right with this chance and else some other intent."""
    random = np.random.default_rng(seed)
    other = (truth + random.integers(1, len(INTENTS), len(truth))) % len(INTENTS)
    return np.where(random.random(len(truth)) < accuracy, truth, other)


PREDICTED = serving()
CHAMPION = judged(PREDICTED)


def gate(candidate: Judged, champion: Judged | None = CHAMPION, bounds: Bounds = BOUNDS, seed: int = 7) -> GateVerdict:
    return judge_candidate(candidate, champion, bounds, seed)


def refused_by(verdict: GateVerdict) -> set[str]:
    assert verdict.promote == (not verdict.refusals)
    return {check.name for check in verdict.refusals}


def detail_of(verdict: GateVerdict, name: str) -> str:
    return next(check.detail for check in verdict.checks if check.name == name)


def test_an_equal_candidate_is_promoted() -> None:
    verdict = gate(CHAMPION)
    assert verdict.promote and verdict.refusals == ()


def test_a_better_candidate_is_promoted() -> None:
    better = PREDICTED.copy()
    wrong = np.flatnonzero(PREDICTED != TRUTH)
    better[wrong[::2]] = TRUTH[wrong[::2]]
    assert gate(judged(better)).promote


def test_one_row_of_300_is_noise() -> None:
    truth = TRUTH[:300]
    champion = judged(PREDICTED[:300], truth)
    worse = PREDICTED[:300].copy()
    row = np.flatnonzero(worse == truth)[0]
    worse[row] = (worse[row] + 1) % len(INTENTS)
    assert gate(judged(worse, truth), champion).promote


def test_training_on_shuffled_labels_is_refused() -> None:
    shuffled = judged(np.random.default_rng(3).permutation(PREDICTED))
    assert {"score difference", "score drop", "label recall"} <= refused_by(gate(shuffled))


def test_one_relabelled_intent_is_refused_and_named() -> None:
    refund, cancel = INTENTS.index("refund"), INTENTS.index("cancel order")
    poisoned = np.where(np.equal(PREDICTED, refund), cancel, PREDICTED)
    verdict = gate(judged(poisoned))
    assert "label recall" in refused_by(verdict)
    assert detail_of(verdict, "label recall").startswith("refund ") and "cancel" not in detail_of(verdict, "label recall")


def test_a_rare_intent_that_is_lost_is_refused_although_the_score_stays() -> None:
    truth = np.concatenate([np.repeat(np.arange(9), 44), np.full(5, 9)])
    champion, candidate = truth.copy(), np.where(truth == 9, 0, truth)
    champion[:5] = 1  # the candidate makes up for it elsewhere
    verdict = gate(judged(candidate, truth), judged(champion, truth))
    assert refused_by(verdict) == {"label recall"}
    assert detail_of(verdict, "label recall") == "stock 1.00 -> 0.00 of 5"


def test_intents_of_very_few_rows_are_judged_together() -> None:
    truth = np.concatenate([np.repeat(np.arange(7), 60), [7, 7, 8, 8, 9, 9]])
    champion, candidate = truth.copy(), np.where(truth >= 7, 0, truth)
    champion[:6] = 1
    verdict = gate(judged(candidate, truth), judged(champion, truth))
    assert refused_by(verdict) == {"label recall"} and RARE in detail_of(verdict, "label recall")


def test_a_flood_of_one_class_is_refused_with_and_without_a_champion() -> None:
    flood = judged(np.full(ROWS, 2))
    assert {"score drop", "label recall", "labels recognised"} <= refused_by(gate(flood))
    assert {"majority baseline", "labels recognised"} <= refused_by(gate(flood, None))


def test_a_first_version_that_knows_three_of_ten_classes_is_refused() -> None:
    truth = np.concatenate([np.repeat(np.arange(3), 120), np.repeat(np.arange(3, 10), 6)])
    verdict = gate(judged(np.where(truth < 3, truth, 0), truth), None)
    assert refused_by(verdict) == {"labels recognised"}
    assert "login" in detail_of(verdict, "labels recognised")


def test_a_sound_first_version_is_promoted_without_a_champion() -> None:
    assert gate(CHAMPION, None).promote
    slots = Judged(np.full(60, 0.8), (), np.zeros(0), np.zeros(0, dtype=bool), 5.0, 0.0)
    assert gate(slots, None).promote and gate(slots, slots).promote
    assert refused_by(gate(replace(slots, right=np.zeros(60)), None)) == {"majority baseline"}


def test_scores_that_are_not_right_or_wrong_are_compared_too() -> None:
    random = np.random.default_rng(4)
    ranks = Judged(random.uniform(0.3, 1, 200), (), np.zeros(0), np.zeros(0, dtype=bool), 5.0, 0.0)
    assert refused_by(gate(replace(ranks, right=ranks.right - 0.01), ranks)) == {"score difference"}


def test_a_small_fall_beyond_noise_is_refused_unless_the_bound_allows_it() -> None:
    truth = np.arange(3000) % 10
    worse = truth.copy()
    worse[:30] = (worse[:30] + 1) % 10
    champion, candidate = judged(truth, truth), judged(worse, truth)
    assert refused_by(gate(candidate, champion)) == {"score difference"}
    assert gate(candidate, champion, Bounds(worse_by=0.01)).promote


def test_a_fall_on_a_small_holdout_is_refused_even_where_it_could_be_noise() -> None:
    truth = np.repeat(np.arange(10), 4)
    worse = truth.copy()
    worse[[0, 9]] = 5
    worse[20] = 9
    champion = truth.copy()
    champion[[4, 30]] = 3
    assert refused_by(gate(judged(worse, truth), judged(champion, truth))) == {"score drop"}


def test_a_holdout_that_is_too_small_is_refused_with_its_mend() -> None:
    few = judged(TRUTH[:29], TRUTH[:29])
    verdict = gate(few, few)
    assert refused_by(verdict) == {"holdout rows"} and "label more" in detail_of(verdict, "holdout rows")
    empty = Judged(np.zeros(0), (), np.zeros(0), np.zeros(0, dtype=bool), 1.0, 0.0)
    assert "holdout rows" in refused_by(gate(empty, None)) and "holdout rows" in refused_by(gate(empty, empty))


def test_forgetting_is_counted_by_case_and_not_made_up_for_by_new_ones() -> None:
    known = np.ones(100, dtype=bool)
    known[0] = False
    forgot = ~np.zeros(100, dtype=bool)
    forgot[1] = False
    champion, candidate = judged(PREDICTED, cases=known), judged(PREDICTED, cases=forgot)
    verdict = gate(candidate, champion)
    assert refused_by(verdict) == {"regression cases"}
    assert detail_of(verdict, "regression cases") == "forgotten 1, newly right 1; cases 1"
    assert gate(candidate, champion, Bounds(forgotten=1)).promote


def test_a_large_regression_set_allows_half_a_percent() -> None:
    def forgets(cases: int) -> set[str]:
        kept = np.arange(600) >= cases
        return refused_by(gate(judged(PREDICTED, cases=kept), judged(PREDICTED, cases=np.ones(600, dtype=bool))))

    assert forgets(3) == set()
    assert forgets(4) == {"regression cases"}


def test_lost_calibration_is_refused() -> None:
    assert refused_by(gate(replace(CHAMPION, ece=0.06))) == {"calibration error"}  # within 0.10, but 0.04 above the champion
    assert refused_by(gate(replace(CHAMPION, ece=0.12), None)) == {"calibration error"}
    assert refused_by(gate(replace(CHAMPION, ece=0.11), replace(CHAMPION, ece=0.095))) == {"calibration error"}
    assert gate(replace(CHAMPION, ece=0.12), replace(CHAMPION, ece=0.15)).promote  # not good, but better than what serves


def test_calibration_noise_is_that_of_the_rows_it_was_found_on() -> None:
    half = np.arange(CHAMPION.n) % 20 == 0
    found = gate(replace(CHAMPION, ece=0.09, unfitted=half), None)
    check = next(one for one in found.checks if one.name == "calibration error")
    assert check.passed and f"{int(half.sum())} rows" in check.detail


def test_calibration_asks_no_more_of_few_rows_than_a_perfect_version_shows() -> None:
    random = np.random.default_rng(8)
    sure = random.uniform(0.5, 1, 60).astype(np.float32)
    right = random.random(60) < sure
    error = expected_calibration_error(np.stack([sure, 1 - sure], axis=1), (~right).astype(np.int64))
    few = Judged(right, (), sure, np.zeros(0, dtype=bool), 5.0, error)
    assert error > 0.1 and gate(few, None).promote
    assert refused_by(gate(replace(few, ece=0.3), None)) == {"calibration error"}


def test_a_slower_version_is_refused_beyond_the_clocks_noise() -> None:
    assert gate(replace(CHAMPION, latency_ms=25.0)).promote
    assert refused_by(gate(replace(CHAMPION, latency_ms=25.5))) == {"latency ms"}
    fast = replace(CHAMPION, latency_ms=1.0)
    assert gate(replace(CHAMPION, latency_ms=2.9), fast).promote
    assert refused_by(gate(replace(CHAMPION, latency_ms=3.1), fast)) == {"latency ms"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 1.5])
def test_a_confidence_that_is_no_chance_is_refused(bad: float) -> None:
    confidence = CHAMPION.confidence.copy()
    confidence[3] = bad
    verdict = gate(replace(CHAMPION, confidence=confidence))
    assert refused_by(verdict) == {"sound numbers"} and "1 of 400 confidences" in detail_of(verdict, "sound numbers")


def test_figures_that_are_not_numbers_never_open_the_gate() -> None:
    nan = float("nan")
    for broken in (replace(CHAMPION, ece=nan), replace(CHAMPION, latency_ms=nan), replace(CHAMPION, right=np.full(ROWS, nan))):
        for champion in (CHAMPION, None):
            verdict = gate(broken, champion)
            assert "sound numbers" in refused_by(verdict)
            assert json.loads(json.dumps(verdict.as_json(), allow_nan=False))["promote"] is False


def test_bounds_that_are_not_numbers_are_refused_all_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Bounds(max_drop=float("nan"), max_ece=float("inf"), floors={"refund": float("nan"), "login": 0.5})
    assert [fault.split(" =")[0] for fault in caught.value.faults] == ["max_drop", "max_ece", "floors.refund"]


def test_floors_set_by_hand_are_held() -> None:
    recall = float((PREDICTED == TRUTH)[TRUTH == 1].mean())
    assert refused_by(gate(CHAMPION, None, Bounds(floors={"refund": recall + 0.01}))) == {"recall floors"}
    assert gate(CHAMPION, None, Bounds(floors={"refund": recall})).promote
    # A champion below the floor may be followed by one that is no worse.
    assert gate(CHAMPION, CHAMPION, Bounds(floors={"refund": recall + 0.01})).promote
    row = np.flatnonzero((PREDICTED == TRUTH) & (TRUTH == 1))[0]
    worse = PREDICTED.copy()
    worse[row] = 0
    verdict = gate(judged(worse), CHAMPION, Bounds(floors={"refund": recall}))
    assert refused_by(verdict) == {"recall floors"} and "refund" in detail_of(verdict, "recall floors")


def test_a_floor_that_the_holdout_cannot_show_is_refused() -> None:
    verdict = gate(CHAMPION, CHAMPION, Bounds(floors={"refnud": 0.5}))
    assert refused_by(verdict) == {"recall floors"} and "refnud: 0 of the 5" in detail_of(verdict, "recall floors")


def test_all_faults_are_listed_at_once_and_the_checks_are_always_the_same() -> None:
    broken = replace(
        judged(np.full(ROWS, 2), cases=np.zeros(100, dtype=bool)), latency_ms=90.0, ece=0.5, confidence=np.full(ROWS, np.nan)
    )
    verdict = gate(broken)
    assert len(refused_by(verdict)) == 8
    names = [check.name for check in verdict.checks]
    assert names == [check.name for check in gate(broken, None).checks] == [check.name for check in gate(CHAMPION).checks]


def test_the_same_seed_gives_the_same_verdict() -> None:
    candidate = judged(serving(seed=2))
    assert gate(candidate, seed=3) == gate(candidate, seed=3)
    assert gate(candidate, seed=3).as_json() != gate(candidate, seed=4).as_json()


def test_versions_judged_on_different_cases_cannot_be_compared() -> None:
    with pytest.raises(TrainingError, match="400 and 399 holdout rows"):
        gate(CHAMPION, judged(PREDICTED[:399], TRUTH[:399]))
    with pytest.raises(TrainingError, match="different cases"):
        gate(CHAMPION, replace(CHAMPION, labels=CHAMPION.labels[::-1]))
    with pytest.raises(TrainingError, match="different cases"):
        gate(CHAMPION, replace(CHAMPION, regression=np.ones(3, dtype=bool)))
    with pytest.raises(TrainingError, match="3 labels for 400"):
        gate(replace(CHAMPION, labels=("a", "b", "c")), None)
    with pytest.raises(TrainingError, match="champion has 5 confidences"):
        gate(CHAMPION, replace(CHAMPION, confidence=np.ones(5)))
    with pytest.raises(TrainingError, match="roll back"):
        gate(CHAMPION, replace(CHAMPION, ece=float("nan")))


def test_the_page_kept_with_a_version_says_why_and_survives_hostile_label_names() -> None:
    hostile = "x | y\n# Promoted"
    labels = tuple(hostile if label == "refund" else label for label in CHAMPION.labels)
    poisoned = replace(judged(np.where(PREDICTED == 1, 0, PREDICTED)), labels=labels)
    verdict = gate(poisoned, replace(CHAMPION, labels=labels))
    lines = verdict.render("intent\n2026-08-01").splitlines()
    assert lines[0] == "# intent 2026-08-01"
    assert lines[2].startswith("Refused: ") and "label recall" in lines[2]
    table = lines[4:]
    assert len(table) == 2 + len(verdict.checks) and all(line.count("|") == len(COLUMNS) + 1 for line in table)
    assert len({len(line) for line in table}) == 1
    assert gate(CHAMPION).render("intent").splitlines()[2] == "Promoted: every check passed."
    assert all(len(row) == len(COLUMNS) for row in verdict.as_table())


def refusals(spoilt: float, touched: float, nights: int = 200) -> float:
    """The share of nights refused of a model trained again: ``touched`` of its answers drawn anew, ``spoilt`` made wrong."""
    refused = 0
    for night in range(nights):
        random = np.random.default_rng(night + 777)
        champion = serving(seed=night)
        candidate = np.where(random.random(ROWS) < touched, serving(seed=night + 10_000), champion)
        candidate = np.where((random.random(ROWS) < spoilt / 0.9) & (candidate == TRUTH), (TRUTH + 1) % len(INTENTS), candidate)
        ours, theirs = (replace(judged(side), confidence=np.zeros(0)) for side in (candidate, champion))
        refused += not gate(ours, theirs, seed=night).promote
    return refused / nights


def test_a_candidate_that_is_as_good_is_seldom_refused() -> None:
    assert refusals(spoilt=0.0, touched=0.2) <= 0.08  # measured 0.03 on 400 rows; 0.10 on 100 and 0.03 on 1,000
    assert refusals(spoilt=0.0, touched=1.0) <= 0.25  # measured 0.17, for versions that share no more than their accuracy


def test_a_fall_of_five_points_is_caught_on_400_rows() -> None:
    assert refusals(spoilt=0.05, touched=0.2) >= 0.94  # measured 0.98; 0.80 on 100 rows
