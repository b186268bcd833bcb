"""A company whose customers write from nine to five on the wall, through the change to summer time and back."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from assistant.monitor.detect import Detector
from assistant.monitor.events import Event, Signal
from assistant.monitor.limits import Limits

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2024, 1, 1)
SPRING = 90  # days from START to 31 March, when clocks are set forward
Message = tuple[Event, bool]


def company(days: int, *, surge_from: int = 10**6, seed: int = 3) -> list[tuple[datetime, str, bool]]:
    """Messages on the wall clock, without a zone: 24 calm and 8 negative ones a day in each of four topics, nine to five."""
    rng = random.Random(seed)
    found = []
    for day in range(days):
        for topic in ("t0", "t1", "t2", "t3"):
            times = 4 if topic == "t1" and day >= surge_from else 1
            for negative, mean in ((False, 24), (True, 8 * times)):
                count = sum(rng.random() < mean / 400 for _ in range(400))
                hours = sorted(rng.uniform(9, 17) for _ in range(count))
                found += [(START + timedelta(days=day, hours=hour), topic, negative) for hour in hours]
    return sorted(found)


def feed(detector: Detector, messages: list[Message]) -> list[Signal]:
    return [signal for event, negative in messages for signal in detector.observe(event, negative)]


def placed(lines: list[tuple[datetime, str, bool]], zone: ZoneInfo) -> list[Message]:
    return [
        (Event(str(at), str(number), at.replace(tzinfo=zone), topic, "en"), negative)
        for number, (at, topic, negative) in enumerate(lines)
    ]


def told(signals: list[Signal], zone: ZoneInfo) -> list[tuple[object, ...]]:
    return [
        (one.kind, one.topic, one.at.astimezone(zone).replace(tzinfo=None), one.observed, one.messages, round(one.expected, 1))
        for one in signals
    ]


def limits(zone: str) -> Limits:
    return Limits(false_alerts=0.02, timezone=zone)


@pytest.mark.parametrize("begins", [SPRING + 1, 301])  # the Monday after clocks were set forward; after they were set back
def test_a_surge_after_a_change_of_the_clock_is_found_as_if_it_had_not_changed(begins: int) -> None:
    lines = company(begins + 6, surge_from=begins)
    there = told(feed(Detector(limits("Europe/Berlin")), placed(lines, BERLIN)), BERLIN)
    assert there == told(feed(Detector(limits("UTC")), placed(lines, ZoneInfo("UTC"))), ZoneInfo("UTC"))
    assert [one[:2] for one in there] == [("share", "t1")]


def test_opening_hours_that_move_by_an_hour_are_no_surge_on_the_companys_own_clock() -> None:
    messages = placed(company(SPRING + 28), BERLIN)
    assert feed(Detector(limits("Europe/Berlin")), messages) == []
    own, other = Detector(limits("Europe/Berlin")), Detector(limits("UTC"))
    before = [one for one in messages if one[0].at < datetime(2024, 4, 1, tzinfo=BERLIN)]
    feed(own, before)
    feed(other, before)
    streams = [one._pools["en"].streams["t0"] for one in (own, other)]
    nine = datetime(2024, 4, 1, 9, tzinfo=BERLIN).timestamp()
    hour = [one.clock.read_at(nine + 3600) - one.clock.read_at(nine) for one in streams]
    assert hour[0] == pytest.approx(7 / 56, rel=0.2) and hour[1] < hour[0] / 4, "UTC takes the first hour for night"


@pytest.mark.parametrize("cut", [SPRING * 24 - 30, SPRING * 24, SPRING * 24 + 7])
def test_stopped_and_restored_around_the_change_it_says_the_same_to_the_last_bit(cut: int) -> None:
    messages = placed(company(SPRING + 10, surge_from=SPRING + 1), BERLIN)
    through, first = Detector(limits("Europe/Berlin")), Detector(limits("Europe/Berlin"))
    moment = (START + timedelta(hours=cut)).replace(tzinfo=BERLIN)
    early, late = ([one for one in messages if (one[0].at < moment) is before] for before in (True, False))
    said = feed(first, early)
    second = Detector.restore(json.loads(json.dumps(first.state())), limits("Europe/Berlin"))
    assert said + feed(second, late) == feed(through, messages)
    assert second.state() == through.state()


def test_days_end_at_the_zones_midnight() -> None:
    detector = Detector(limits("Asia/Shanghai"))
    detector.observe(Event("a", "a", datetime(2024, 1, 1, 15, 59, tzinfo=UTC), "t", "zh"), False)
    pool = detector._pools["zh"]
    detector.observe(Event("b", "b", datetime(2024, 1, 1, 15, 59, 59, tzinfo=UTC), "t", "zh"), False)
    assert pool.age == 0
    detector.observe(Event("c", "c", datetime(2024, 1, 1, 16, 0, 1, tzinfo=UTC), "t", "zh"), False)
    assert pool.age == 1


def test_closed_nights_and_weekends_are_season_and_no_dead_line() -> None:
    open_days = [one for one in company(42) if one[0].weekday() < 5]
    detector = Detector(limits("UTC"))
    assert feed(detector, placed(open_days, ZoneInfo("UTC"))) == []
    pool = detector._pools["en"]
    assert pool.age > 35 and pool.warm
    assert pool.season[12] > 2.0 and pool.season[2] < 0.3 and pool.season[5 * 24 + 12] < 0.6
