"""Of labels that cannot all be right the more trusted stands, and among equals none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from finetune.contradictions import Sifted, doubt, settle, settle_near
from finetune.harvested import Example, Trust
from finetune.opinions import Opinion

START = datetime(2026, 5, 1, tzinfo=UTC)


def _says(label: str, trust: Trust, text: str = "it is gone", ref: str = "a", day: int | None = 0) -> Example:
    return Example(text, label, ref, "und", None if day is None else START + timedelta(days=day), trust)


def _labels(sifted: Sifted) -> list[str]:
    return [one.label for one in sifted.kept]


def _alike(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ones((len(texts), 1), dtype=np.float32)


@pytest.mark.parametrize(
    ("higher", "lower"), [("correction", "action"), ("person", "action"), ("person", "agreement"), ("action", "agreement")]
)
def test_the_more_trusted_label_stands(higher: Trust, lower: Trust) -> None:
    rows = [_says("late", lower, f"It is gone {'!' * n}", f"c{n}") for n in range(5)]
    sifted = settle([*rows, _says("refund", higher, ref="z")])
    assert _labels(sifted) == ["refund"] and [one.reason for one in sifted.set_aside] == ["outranked"] * 5


@pytest.mark.parametrize("trust", ["correction", "person", "action"])
def test_different_labels_of_one_trust_all_fall(trust: Trust) -> None:
    sifted = settle([_says("late", trust), _says("refund", trust, ref="b"), _says("late", "agreement", ref="c")])
    assert not sifted.kept and [one.reason for one in sifted.set_aside] == ["contradiction"] * 3


def test_what_a_duplicate_knows_of_time_and_language_is_kept() -> None:
    english = Example("It is gone!", "late", "b", "en", START, "action")
    (one,) = settle([_says("late", "person", day=None), english]).kept
    assert (one.trust, one.at, one.lang, one.ref) == ("person", START, "en", "a")


@pytest.mark.parametrize("trust", ["correction", "person"])
def test_who_labels_one_conversation_twice_means_the_later_label(trust: Trust) -> None:
    assert _labels(settle([_says("refund", trust, day=1), _says("late", trust, day=0)])) == ["refund"]


@pytest.mark.parametrize(("day", "stands"), [(2, ["refund"]), (None, ["refund"]), (0, [])])
def test_a_decision_settles_what_corrections_said_before_it(day: int | None, stands: list[str]) -> None:
    corrections = [_says("late", "correction", day=1), _says("refund", "correction", ref="b", day=1)]
    assert _labels(settle([*corrections, _says("refund", "person", ref="q", day=day)])) == stands


def test_nearly_equal_texts_are_treated_like_equal_ones() -> None:
    red, blue = _says("late", "action", "my red parcel is gone"), _says("refund", "action", "my blue parcel is gone", "b")
    green = _says("late", "correction", "my green parcel is gone", "c")
    assert settle_near([red, blue], _alike, 0.97).kept == []
    sifted = settle_near([red, blue, green], _alike, 0.97)  # the correction has blue fall, and so red may stay
    assert sifted.kept == [red, green] and [one.reason for one in sifted.set_aside] == ["outranked"]


def test_near_vectors_of_texts_that_share_no_words_prove_nothing() -> None:
    rows = [_says("late", "action", "我的包裹没有到"), _says("invoice", "action", "发票怎么开", "b")]
    assert settle_near(rows, _alike, 0.97).kept == rows


def test_a_few_labels_that_go_the_same_wrong_way_fall_one_by_one_and_many_fall_together() -> None:
    sure, unsure = Opinion("late", 0.99, 0.98, "late"), Opinion("late", 0.5, 0.1, None)
    rows = [_says("login", "action", f"text number {n}") for n in range(8)]
    many = doubt(rows, [sure, unsure] * 4, 0.95, 8)
    assert not many.kept
    assert len(doubt(rows[:6], [sure, unsure] * 3, 0.95, 8).kept) == 3
    assert len(doubt(rows, [sure, unsure, unsure, unsure] * 2, 0.95, 8).kept) == 6


def test_labels_the_champion_does_not_know_are_not_doubted() -> None:
    rows = [_says("gift_card", "action")]
    assert doubt(rows, [None], 0.95, 8).kept == rows
