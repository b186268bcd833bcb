"""Shares and changes: against published values, and that little evidence is not called news."""

from __future__ import annotations

import math
from random import Random

import pytest

from assistant.errors import UsageError
from assistant.monitor.comparison import clear_of_noise, compare_numbers, compare_shares, wilson


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_interval_has_its_published_values(count: int, total: int, low: float, high: float) -> None:
    interval = wilson(count, total)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_a_share_of_nothing_says_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_ratio_of_shares_has_koopmans_own_interval() -> None:
    change = compare_shares(36, 40, 16, 80)
    assert change.ratio == pytest.approx(4.5)
    assert (change.interval.low, change.interval.high) == (pytest.approx(2.94, abs=0.01), pytest.approx(7.15, abs=0.01))
    assert change.p_value < 1e-9


def test_p_value_of_two_counts_is_the_binomial_mid_p() -> None:
    # 1 of 8 at one half: P(0) + P(1) / 2 = (1 + 4) / 256, twice for both sides
    assert compare_numbers(1, 7).p_value == pytest.approx(10 / 256)
    assert compare_numbers(7, 1).p_value == pytest.approx(10 / 256)


def test_fishers_mid_p_by_hand() -> None:
    # the tea of 4 and 4: P(4) = 1/70, P(3) = 16/70; above 3 with half of 3: (1 + 8) / 70, twice
    assert compare_shares(3, 4, 1, 4).p_value == pytest.approx(18 / 70)


def test_twice_as_long_a_time_with_twice_as_many_is_no_change() -> None:
    change = compare_numbers(20, 10, 2.0, 1.0)
    assert change.ratio == pytest.approx(1.0)
    assert change.interval.low < 1 < change.interval.high
    assert change.p_value > 0.9


def test_the_interval_ends_where_the_test_begins_to_refuse() -> None:
    change = compare_numbers(30, 12)
    refused = [compare_numbers(30, 12, end, 1.0).p_value for end in (change.interval.low * 0.98, change.interval.low * 1.02)]
    assert refused[0] < 0.05 < refused[1]


def test_a_first_complaint_is_infinitely_more_and_still_no_news() -> None:
    change = compare_numbers(1, 0)
    assert math.isinf(change.ratio) and math.isinf(change.interval.high)
    assert change.p_value > 0.4
    assert compare_shares(1, 30, 0, 30).p_value > 0.4


def test_an_empty_period_is_no_change() -> None:
    assert compare_shares(0, 0, 5, 9).p_value == 1.0
    assert compare_numbers(0, 0).ratio == 1.0


def test_large_counts_neither_overflow_nor_lose_the_ratio() -> None:
    change = compare_shares(200_000, 1_000_000, 190_000, 1_000_000)
    assert change.interval.low < 200 / 190 < change.interval.high
    assert change.p_value < 1e-6


def test_of_many_topics_that_did_not_change_hardly_any_is_called_news() -> None:
    draw = Random(5)
    named = 0
    for _ in range(20):
        counts = [(sum(draw.random() < 0.2 for _ in range(40)), sum(draw.random() < 0.2 for _ in range(40))) for _ in range(50)]
        named += sum(clear_of_noise([compare_shares(now, 40, before, 40).p_value for now, before in counts]))
    assert named <= 3  # of 1,000; by their own p-values about 40 would be


def test_clear_changes_are_the_steps_of_benjamini_and_hochberg() -> None:
    assert clear_of_noise([0.04, 0.001, 0.5, 0.02]) == (False, True, False, True)
    assert clear_of_noise([]) == ()


@pytest.mark.parametrize(("count", "total"), [(5, 4), (-1, 4)])
def test_more_negative_messages_than_messages_are_refused(count: int, total: int) -> None:
    with pytest.raises(UsageError, match=f"{count} of {total}"):
        wilson(count, total)


def test_a_time_of_no_length_is_refused() -> None:
    with pytest.raises(UsageError, match="times > 0"):
        compare_numbers(1, 1, 0.0, 1.0)
