"""The newest conversations are held out, and nothing of them is trained on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import TrainingError
from finetune.harvested import Example, Pair
from finetune.time_split import split_by_time
from finetune.wording import normalise

START = datetime(2026, 1, 1, tzinfo=UTC)


def _example(text: str, ref: str, day: int | None) -> Example:
    return Example(text, "a", ref, "en", None if day is None else START + timedelta(days=day), "action")


EXAMPLES = st.lists(
    st.builds(
        _example,
        st.sampled_from(["one", "One!", "two", "three [ORDER_1]", "three [ORDER_2]", "four", "five", "six", "seven"]),
        st.sampled_from([f"transcript:s/{n}" for n in range(12)]),
        st.one_of(st.none(), st.integers(0, 60)),
    ),
    max_size=40,
)


@given(EXAMPLES, st.floats(0.05, 0.95))
def test_no_text_and_no_conversation_stands_on_both_sides(examples: list[Example], share: float) -> None:
    parts = split_by_time(examples, share)
    assert sorted(map(repr, parts.training + parts.holdout)) == sorted(map(repr, examples))
    assert not {normalise(one.text) for one in parts.training} & {normalise(one.text) for one in parts.holdout}
    assert not {one.ref for one in parts.training} & {one.ref for one in parts.holdout}
    assert len(parts.holdout) <= max(1, round(share * len(examples)))
    assert split_by_time(list(reversed(examples)), share) == parts


def test_the_newest_conversations_are_held_out() -> None:
    examples = [_example(f"question {day}", f"c{day}", day) for day in range(20)]
    parts = split_by_time(examples, 0.15)
    assert [one.text for one in parts.holdout] == ["question 17", "question 18", "question 19"]


def test_a_question_asked_before_is_trained_on_with_all_its_repeats() -> None:
    examples = [_example(f"question {day}", f"c{day}", day) for day in range(9)] + [_example("Question 0!", "new", 99)]
    parts = split_by_time(examples, 0.2)
    assert [one.text for one in parts.holdout] == ["question 7", "question 8"]
    assert parts.training[-1].ref == "new"


def test_examples_without_a_time_are_trained_on() -> None:
    parts = split_by_time([_example("old", "a", None), _example("new", "b", 3), _example("mid", "c", 2)], 0.3)
    assert [one.text for one in parts.holdout] == ["new"]


def test_times_with_and_without_a_zone_can_be_mixed() -> None:
    naive = Example("naive", "a", "n", "en", datetime(2026, 3, 1), "action")
    assert split_by_time([naive, _example("aware", "b", 1)], 0.5).holdout == (naive,)


def test_pairs_can_be_split_too() -> None:
    pairs = [Pair((("customer", f"q{n}"),), "See the page.", f"c{n}", START + timedelta(days=n), "en") for n in range(10)]
    assert [pair.ref for pair in split_by_time(pairs, 0.2).holdout] == ["c8", "c9"]


def test_nothing_is_held_out_where_everything_hangs_together() -> None:
    examples = [_example(f"q{n}", "one conversation", n) for n in range(10)]
    assert split_by_time(examples).holdout == ()
    assert split_by_time([]).training == ()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(TrainingError, match="between 0 and 1"):
        split_by_time([], share)
