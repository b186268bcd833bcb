"""Counting messages into steps: clocks that are changed, late and repeated messages, and steps that are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest

from assistant.errors import UsageError
from assistant.monitor.events import Event
from assistant.monitor.trend import Step, Stream, Tally, Trend, build, read_step, start_of, steps_between

BERLIN = ZoneInfo("Europe/Berlin")  # in 2027: 28 March 02:00 -> 03:00, 31 October 03:00 -> 02:00
MONDAY = datetime(2027, 3, 1, tzinfo=BERLIN)


def message(number: int, at: datetime, negative: float = 0.1, topic: str = "delivery", locale: str = "en", **more: str) -> Event:
    return Event(f"m{number}", f"c{number}", at, topic, locale, negative=negative, positive=0.05, **more)


def shares(trend: Trend) -> list[tuple[str, int, int]]:
    points = trend.series(MONDAY, MONDAY + timedelta(days=2))
    return [(f"{one.start:%d %H:%M}", one.tally.messages, one.tally.negative) for one in points]


def test_messages_are_counted_per_topic_locale_channel_and_version() -> None:
    at = MONDAY + timedelta(hours=9)
    trend = build(
        [
            message(1, at, 0.9, channel="chat", version="v1"),
            message(2, at, 0.2, channel="chat", version="v1"),
            message(3, at, 0.9, channel="email", version="v1"),
            message(4, at, 0.9, locale="zh"),
        ],
        Step(1, "hour"),
        BERLIN,
    )
    assert trend.totals(MONDAY, MONDAY + timedelta(days=1)) == {
        Stream("delivery", "en", "chat", "v1"): Tally(2, 1, 0),
        Stream("delivery", "en", "email", "v1"): Tally(1, 1, 0),
        Stream("delivery", "zh", "", ""): Tally(1, 1, 0),
    }


def test_a_message_told_twice_counts_once() -> None:
    trend = Trend(Step(1, "day"), UTC)
    assert trend.add(message(1, MONDAY))
    assert not trend.add(message(1, MONDAY + timedelta(hours=3)))
    assert [one.tally.messages for one in trend.series(MONDAY, MONDAY + timedelta(days=1))] == [1, 0]


def test_late_messages_count_where_they_belong_and_order_does_not_matter() -> None:
    draw = Random(3)
    events = [message(number, MONDAY + timedelta(minutes=draw.randrange(2880)), draw.random()) for number in range(300)]
    one_by_one = Trend(Step(6, "hour"), BERLIN)
    for event in draw.sample([*events, *events[:50]], 350):
        one_by_one.add(event)
    assert shares(one_by_one) == shares(build(events, Step(6, "hour"), BERLIN))
    assert sum(count for _, count, _ in shares(one_by_one)) == 300


def test_hours_without_messages_are_shown_as_empty() -> None:
    trend = build([message(1, MONDAY + timedelta(hours=30), 0.9)], Step(1, "day"), BERLIN)
    assert shares(trend) == [("01 00:00", 0, 0), ("02 00:00", 1, 1)]
    assert trend.series(MONDAY, MONDAY + timedelta(days=1))[0].tally.share is None


def test_the_judge_may_have_a_limit_for_each_locale() -> None:
    at = MONDAY + timedelta(hours=1)
    events = [message(1, at, 0.6), message(2, at, 0.6, locale="zh")]
    assert shares(build(events, Step(1, "day"), BERLIN, lambda one: one.negative >= {"zh": 0.7}.get(one.locale, 0.5)))[0] == (
        "01 00:00",
        2,
        1,
    )


def test_longer_steps_made_of_short_ones_are_those_of_a_rebuild() -> None:
    draw = Random(4)
    # across the day of 25 hours
    start = datetime(2027, 10, 29, tzinfo=BERLIN).astimezone(UTC)
    events = [message(number, start + timedelta(minutes=draw.randrange(6000)), draw.random()) for number in range(400)]
    hourly = build(events, Step(1, "hour"), BERLIN)
    for step in (Step(6, "hour"), Step(1, "day"), Step(1, "week"), Step(1, "month")):
        ends = (start, start + timedelta(days=5))
        assert hourly.coarser(step).series(*ends) == build(events, step, BERLIN).series(*ends)


def test_a_day_has_23_or_25_hours_when_the_clock_is_changed() -> None:
    def lengths(since: datetime, days: int) -> list[float]:
        ends = steps_between(since, since + timedelta(days=days), Step(1, "day"), BERLIN)
        return [(end.astimezone(UTC) - start.astimezone(UTC)).total_seconds() / 3600 for start, end in ends]

    assert lengths(datetime(2027, 3, 27, tzinfo=BERLIN), 3) == [24, 23, 24]
    assert lengths(datetime(2027, 10, 30, tzinfo=BERLIN), 3) == [24, 25, 24]


def test_the_hour_that_is_there_twice_is_two_hours() -> None:
    first = datetime(2027, 10, 31, 2, 30, tzinfo=BERLIN, fold=0)
    second = datetime(2027, 10, 31, 2, 30, tzinfo=BERLIN, fold=1)
    starts = [start_of(at, Step(1, "hour"), BERLIN).astimezone(UTC) for at in (first, second)]
    assert starts == [datetime(2027, 10, 31, 0, tzinfo=UTC), datetime(2027, 10, 31, 1, tzinfo=UTC)]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"])
@pytest.mark.parametrize("written", ["15m", "1h", "2h", "6h", "1d", "1w", "1mo", "3mo"])
def test_steps_follow_one_another_without_gap_and_hold_their_moments(zone: str, written: str) -> None:
    where, step, draw = ZoneInfo(zone), read_step(written), Random(written)
    for since in (datetime(2027, 3, 12, tzinfo=UTC), datetime(2027, 3, 27, tzinfo=UTC), datetime(2027, 10, 30, tzinfo=UTC)):
        until = since + timedelta(days=3)
        steps = list(steps_between(since, until, step, where))
        assert steps[0][0] <= since and steps[-1][1] >= until
        assert all(end == following for (_, end), (following, _) in pairwise(steps))
        assert all(end > start for start, end in steps)
        if zone != "Australia/Lord_Howe":  # its half hour cuts steps that are shorter than a day
            for _ in range(40):
                at = since + timedelta(seconds=draw.randrange(3 * 86_400))
                assert start_of(at, step, where) in [start for start, end in steps if start <= at < end]


@pytest.mark.parametrize("written", ["7m", "0h", "5h", "2d", "1y", "", "-1h", "60 m"])
def test_a_step_that_does_not_fill_the_next_unit_is_refused(written: str) -> None:
    with pytest.raises(UsageError):
        read_step(written)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="no zone"):
        Trend(Step(1, "hour"), UTC).add(message(1, datetime(2027, 3, 1, 9)))
