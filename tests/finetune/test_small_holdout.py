"""What a small holdout cannot show: said in rows, and made up for by how both versions read the night's messages."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.gate import Bounds
from finetune.small_holdout import Readings, check_readings, rows_to_show, unseen_share

BOUNDS = Bounds()
MANY = ("refund",) * 40 + ("login",) * 40


def readings(kept: dict[str, float], sure: float = 0.8, each: int = 40, seed: int = 0) -> Readings:
    """Messages of every label, of which the candidate reads this share as the champion does."""
    random = np.random.default_rng(seed)
    labels = tuple(label for label in kept for _ in range(each))
    same = np.concatenate([random.random(each) < share for share in kept.values()])
    return Readings(labels, np.full(len(labels), sure, dtype=np.float32), same)


def test_the_rows_needed_are_those_that_leave_no_more_unseen() -> None:
    assert unseen_share(0) == 1.0
    for share in (0.01, 0.05, 0.25):
        rows = rows_to_show(share)
        assert unseen_share(rows) <= share < unseen_share(rows - 1)
    # By drawing: a fault in 25 % of the messages shows on none of the rows in no more than 2.5 of 100 holdouts.
    shown = np.random.default_rng(0).random((20_000, rows_to_show(0.25))) < 0.25
    assert (~shown.any(axis=1)).mean() == pytest.approx(0.025, abs=0.005)


def test_a_label_read_as_something_else_is_refused_where_the_holdout_has_few_of_it() -> None:
    changed = readings({"refund": 0.05, "login": 0.8})
    few = check_readings(changed, ("refund",) * 4 + MANY[40:], BOUNDS, 7)
    assert not few.passed
    assert "refund: " in few.detail and " of 40 kept, 32 expected, 4 holdout rows" in few.detail and "login" not in few.detail
    assert check_readings(changed, MANY, BOUNDS, 7).passed  # forty rows of it have judged already


def test_what_the_champion_is_unsure_of_may_change() -> None:
    assert not check_readings(readings({"refund": 0.15}, sure=0.8), (), BOUNDS, 7).passed
    assert check_readings(readings({"refund": 0.15}, sure=0.2), (), BOUNDS, 7).passed


def test_without_messages_there_is_nothing_to_refuse() -> None:
    for nothing in (None, Readings((), np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.bool_))):
        check = check_readings(nothing, (), BOUNDS, 7)
        assert check.passed and "no new messages" in check.detail


def test_an_honest_night_is_hardly_ever_refused() -> None:
    """Fifty labels, six messages each, a candidate that is right where the champion is, in step with its confidence."""
    labels = {f"label {number}": 0.8 for number in range(50)}
    refused = [not check_readings(readings(labels, each=6, seed=seed), (), BOUNDS, 7).passed for seed in range(100)]
    assert sum(refused) <= 3
