"""A small company: topics with twelve messages a day each, a sixth of them negative, more by day than by night."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from assistant.errors import UsageError
from assistant.monitor.detect import Detector
from assistant.monitor.events import Event, Signal
from assistant.monitor.limits import Limits

START = datetime(2024, 1, 1, tzinfo=UTC)
SURGE_DAY = 35.0
# With four topics only, one false alert in four weeks is soon seen; here chance is to be kept out.
STRICT = Limits(false_alerts=0.02)
Rates = Callable[[float, str], tuple[float, float]]
Message = tuple[Event, bool]


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def company(rates: Rates, days: float, topics: tuple[str, ...] = ("t0", "t1", "t2", "t3"), seed: int = 1) -> list[Message]:
    """Messages by topic: ``rates(day, topic)`` gives calm and negative ones a day, to be spread by the hour."""
    rng = random.Random(seed)
    messages: list[Message] = []
    for topic in topics:
        for is_negative in (False, True):
            now = 0.0
            while (now := now + rng.expovariate(400.0)) < days:
                hour = 1 + 0.9 * math.sin(2 * math.pi * now)
                if rng.random() < rates(now, topic)[is_negative] * hour / 400.0:
                    name = f"{topic}-{is_negative}-{len(messages)}"
                    messages.append((Event(name, name, day(now), topic, "en"), is_negative))
    return sorted(messages, key=lambda one: one[0].at)


def calm(_now: float, _topic: str) -> tuple[float, float]:
    return 10.0, 2.0


def surge(ratio: float, until: float = 1e9) -> Rates:
    def rates(now: float, topic: str) -> tuple[float, float]:
        return 10.0, 2.0 * (ratio if topic == "t1" and SURGE_DAY <= now < until else 1.0)

    return rates


def feed(detector: Detector, messages: list[Message]) -> list[Signal]:
    return [signal for event, negative in messages for signal in detector.observe(event, negative)]


def raised(signals: list[Signal]) -> list[Signal]:
    return [signal for signal in signals if signal.kind != "recovered"]


def test_a_quiet_company_is_left_alone() -> None:
    assert feed(Detector(STRICT), company(calm, 70)) == []


def test_a_surge_is_signalled_once_with_its_start_its_size_and_how_seldom_chance_does_that() -> None:
    signals = feed(Detector(STRICT), company(surge(5.0), 60))
    assert [(one.topic, one.kind) for one in signals] == [("t1", "share")]
    signal = signals[0]
    assert day(SURGE_DAY) < signal.at < day(SURGE_DAY + 5)
    assert abs(signal.since - day(SURGE_DAY)) < timedelta(days=1.5)
    assert 3 < signal.ratio < 8
    assert signal.observed > 2 * signal.expected
    assert signal.observed < signal.messages
    assert 0 < signal.false_alarms_per_28_days <= 0.02


def test_growth_of_all_traffic_is_told_from_souring() -> None:
    def growth(now: float, topic: str) -> tuple[float, float]:
        times = 4.0 if topic == "t1" and now >= SURGE_DAY else 1.0
        return 10.0 * times, 2.0 * times

    assert [one.kind for one in raised(feed(Detector(STRICT), company(growth, 50)))] == ["number"]


def test_fewer_calm_messages_alone_turn_the_share() -> None:
    def fading(now: float, topic: str) -> tuple[float, float]:
        return (1.0 if topic == "t1" and now >= SURGE_DAY else 10.0), 2.0

    signals = feed(Detector(STRICT), company(fading, 80))
    assert [(one.topic, one.kind) for one in signals] == [("t1", "share")]
    assert signals[0].ratio > 2


def test_a_share_that_fell_back_is_a_recovery_though_the_number_never_rose() -> None:
    def faded(now: float, topic: str) -> tuple[float, float]:
        return (1.0 if topic == "t1" and SURGE_DAY <= now < 60 else 10.0), 2.0

    signals = feed(Detector(STRICT), company(faded, 90))
    assert [(one.topic, one.kind) for one in signals] == [("t1", "share"), ("t1", "recovered")]
    assert day(60) < signals[1].at < day(80)


def test_one_furious_customer_is_no_surge() -> None:
    messages = company(calm, 40)
    last = day(40)
    rant = [(Event(f"r{number}", "rant", last + timedelta(minutes=number), "t1", "en"), True) for number in range(300)]
    assert feed(Detector(STRICT), messages + rant) == []
    many = [(Event(f"m{number}", f"m{number}", last + timedelta(minutes=number), "t1", "en"), True) for number in range(300)]
    assert len(feed(Detector(STRICT), messages + many)) == 1


def test_fewer_than_the_least_volume_say_nothing() -> None:
    messages = company(calm, 40)
    few = [(Event(f"m{number}", f"m{number}", day(40.0001 + number / 1e4), "t1", "en"), True) for number in range(20)]
    assert feed(Detector(Limits(false_alerts=0.02, minimum=30)), messages + few) == []
    assert feed(Detector(Limits(false_alerts=0.02, minimum=10)), messages + few)[0].observed >= 10


def test_a_drift_over_weeks_is_found_though_no_day_stands_out() -> None:
    def drifting(now: float, topic: str) -> tuple[float, float]:
        return 10.0, 2.0 * (1 + max(0.0, now - 40) / 40 if topic == "t1" else 1.0)

    signals = raised(feed(Detector(Limits(false_alerts=0.02, half_life_days=7, slow_half_life_days=365)), company(drifting, 120)))
    assert {one.topic for one in signals} == {"t1"}
    assert signals[0].kind == "drift"


def test_recovery_closes_the_alert_and_the_next_surge_opens_another() -> None:
    def twice(now: float, topic: str) -> tuple[float, float]:
        high = topic == "t1" and (SURGE_DAY <= now < 42 or 70 <= now < 77)
        return 10.0, 10.0 if high else 2.0

    signals = feed(Detector(STRICT), company(twice, 100))
    assert [one.kind for one in signals] == ["share", "recovered"] * 2
    assert day(42) < signals[1].at < day(60)
    assert signals[1].since == signals[0].since
    assert signals[2].since > day(69)


def rare(days: float, burst: tuple[float, ...], after: tuple[float, ...] = ()) -> list[Message]:
    """A company with one topic on which an unhappy customer writes every thirty days, and on which many suddenly do."""
    often = company(calm, days, topics=("t0", "t1"))
    at = sorted([*(30.0 * number + 1 for number in range(1, int(min(burst) // 30))), *burst, *after])
    return sorted(
        [*often, *((Event(f"r{one}", f"r{one}", day(one), "rare", "en"), True) for one in at)], key=lambda one: one[0].at
    )


BURST = tuple(200.0 + number / 10 for number in range(12))


def test_an_alert_of_a_rare_topic_ends_after_the_set_quiet_time_and_not_before() -> None:
    for quiet_days in (6.0, 10.0):
        limits = replace(STRICT, quiet_days=quiet_days)
        signals = [one for one in feed(Detector(limits), rare(240, BURST)) if one.topic == "rare"]
        assert [one.kind for one in signals][-1] == "recovered" and len(signals) == 2
        assert abs(signals[1].at - day(BURST[-1] + quiet_days)) < timedelta(hours=20)
    patient = feed(Detector(replace(STRICT, quiet_days=366.0)), rare(240, BURST))
    assert patient[-1].at > day(BURST[-1] + 12), "without it, the statistic alone would wait longer"


def test_one_more_unhappy_message_begins_the_quiet_time_anew_even_in_the_same_conversation() -> None:
    limits = replace(STRICT, quiet_days=10.0)
    once_more = rare(240, BURST, after=(209.0,))
    assert feed(Detector(limits), once_more)[-1].at > day(218.0)
    again = [
        (replace(event, conversation=f"r{BURST[-1]}") if event.id == "r201.9" else event, negative)
        for event, negative in rare(240, BURST, after=(201.9,))
    ]
    assert feed(Detector(limits), again)[-1].at - feed(Detector(limits), rare(240, BURST))[-1].at > timedelta(hours=12)


def test_a_dead_line_is_no_quiet_time() -> None:
    messages = [one for one in rare(240, BURST) if not day(203) < one[0].at < day(225)]
    signals = [one for one in feed(Detector(replace(STRICT, quiet_days=10.0)), messages) if one.topic == "rare"]
    assert signals[-1].kind == "recovered" and signals[-1].at > day(231)


def test_a_surge_is_not_learned_as_normal() -> None:
    detector = Detector(STRICT)
    before = company(surge(5.0, until=65), 90)
    feed(detector, [one for one in before if one[0].at < day(SURGE_DAY)])
    normal = detector.rate("t1", "en")
    feed(detector, [one for one in before if one[0].at >= day(SURGE_DAY)])
    assert detector.rate("t1", "en") == pytest.approx(normal, rel=0.25)


def test_a_person_may_accept_the_new_level_as_normal() -> None:
    messages = company(surge(5.0), 100)
    detector = Detector(STRICT)
    feed(detector, [one for one in messages if one[0].at < day(50)])
    assert list(detector.open_streams()) == [("t1", "en")]
    assert detector.resolve("t1", "en", day(50), accept=True)
    assert not detector.resolve("t1", "en", day(50), accept=True)
    seen = sum(negative for event, negative in messages if event.topic == "t1" and day(SURGE_DAY) < event.at < day(50))
    assert detector.rate("t1", "en") == pytest.approx(seen / 15, rel=0.15)
    assert feed(detector, [one for one in messages if one[0].at >= day(50)]) == []


def test_resolved_without_accepting_a_stream_that_is_still_high_is_signalled_again() -> None:
    messages = company(surge(5.0), 70)
    detector = Detector(STRICT)
    feed(detector, [one for one in messages if one[0].at < day(50)])
    detector.resolve("t1", "en", day(50))
    assert [one.topic for one in feed(detector, [one for one in messages if one[0].at >= day(50)])] == ["t1"]


def test_nothing_is_said_while_a_company_is_new() -> None:
    def early(now: float, topic: str) -> tuple[float, float]:
        return 10.0, 20.0 if topic == "t1" and 5 <= now < 9 else 2.0

    assert feed(Detector(STRICT), company(early, 13)) == []


def test_a_new_topic_like_the_others_is_welcome_and_a_flood_on_one_is_signalled_as_new() -> None:
    def later(size: float) -> Rates:
        return lambda now, topic: (10.0, 2.0) if topic != "t9" else (10.0, size) if now > 40 else (0.0, 0.0)

    topics = ("t0", "t1", "t2", "t3", "t9")
    assert feed(Detector(STRICT), company(later(2.0), 70, topics)) == []
    signals = feed(Detector(STRICT), company(later(40.0), 70, topics))
    assert [(one.kind, one.topic) for one in signals] == [("new", "t9"), ("recovered", "t9")]
    assert signals[0].at < day(43)
    assert timedelta(days=13) < signals[1].at - signals[0].at < timedelta(days=15)


def test_an_outage_is_no_recovery_lowers_no_level_and_its_end_is_no_surge() -> None:
    messages = company(surge(5.0, until=60), 100)
    with_gap = [one for one in messages if not day(39.2) < one[0].at < day(44.2)]
    detector = Detector(STRICT)
    signals = feed(detector, [one for one in with_gap if one[0].at < day(39.2)])
    assert [one.kind for one in signals] == ["share"]
    rate = detector.rate("t0", "en")
    assert detector.advance(day(44)) == []
    assert detector.rate("t0", "en") == pytest.approx(rate, rel=0.08)
    signals = feed(detector, [one for one in with_gap if one[0].at > day(44.2)])
    assert [one.kind for one in signals] == ["recovered"]
    assert signals[0].at > day(60)


def test_a_daily_peak_is_no_surge() -> None:
    def office(now: float, _topic: str) -> tuple[float, float]:
        busy = 8.0 if 0.4 < now % 1 < 0.5 else 0.3
        return 20.0 * busy, 6.0 * busy

    assert feed(Detector(STRICT), company(office, 70)) == []


def test_an_older_event_is_refused_and_changes_nothing() -> None:
    detector = Detector(STRICT)
    messages = company(calm, 20)
    feed(detector, messages)
    before = json.dumps(detector.state())
    with pytest.raises(UsageError, match="rewind to a state"):
        detector.observe(messages[0][0], True)
    with pytest.raises(UsageError, match="no time zone"):
        detector.observe(Event("x", "x", datetime(2024, 6, 1), "t0", "en"), True)
    assert json.dumps(detector.state()) == before


@pytest.mark.parametrize("cut", [0, 10, 1500, 1800, 2200, 2600])
def test_stopped_and_restored_anywhere_it_says_the_same_to_the_last_bit(cut: int) -> None:
    messages = company(surge(5.0, until=45), 65)
    whole = Detector(STRICT)
    expected = feed(whole, messages)
    assert [one.kind for one in expected] == ["share", "recovered"]
    first = Detector(STRICT)
    signals = feed(first, messages[:cut])
    second = Detector.restore(json.loads(json.dumps(first.state())), STRICT)
    assert second.state() == first.state()
    signals += feed(second, messages[cut:])
    assert signals == expected
    assert second.state() == whole.state()


def test_being_told_the_time_in_between_changes_nothing() -> None:
    messages = company(surge(5.0, until=45), 65)
    whole, told = Detector(STRICT), Detector(STRICT)
    expected = feed(whole, messages)
    signals, hour = [], START
    for event, negative in messages:
        while hour < event.at:
            signals += told.advance(hour)
            hour += timedelta(hours=1)
        signals += told.observe(event, negative)
    assert signals == expected
    assert told.state() == whole.state()


def test_a_state_of_another_format_is_refused() -> None:
    with pytest.raises(UsageError, match="rebuild it from the store"):
        Detector.restore({"format": 0})


def test_a_strict_setting_asks_for_more_evidence() -> None:
    messages = company(surge(5.0), 60)
    lax = feed(Detector(Limits(false_alerts=4)), messages)[0]
    strict = feed(Detector(Limits(false_alerts=0.01)), messages)[0]
    assert lax.at < strict.at
    assert strict.false_alarms_per_28_days <= 0.01


def test_locales_share_the_budget_as_their_messages_are_not_as_their_complaints_are() -> None:
    english = company(calm, 30)
    sour = company(lambda _now, _topic: (3.0, 3.0), 30, seed=2)
    chinese = [(replace(event, id=f"z{event.id}", conversation=f"z{event.id}", locale="zh"), flag) for event, flag in sour]
    messages = sorted(english + chinese, key=lambda one: one[0].at)
    detector = Detector(STRICT)
    feed(detector, messages)
    parts = {pool["locale"]: sum(one["budget"] for one in pool["streams"]) for pool in detector.state()["pools"]}
    assert sum(parts.values()) == pytest.approx(1.0)
    assert parts["en"] == pytest.approx(12 / 18, abs=0.05)


def test_a_stream_that_dies_out_is_forgotten_and_years_without_a_message_are_passed_quickly() -> None:
    detector = Detector(STRICT)
    feed(detector, company(calm, 30))
    assert detector.observe(Event("late", "late", day(3000), "t0", "en"), False) == []
    assert detector.rate("t0", "en") == pytest.approx(2.0, rel=0.3)  # silence is no fall of the level
    feed(detector, [(Event(f"n{n}", f"n{n}", day(3000 + n / 10), "t7", "en"), False) for n in range(1, 12_000)])
    assert [one["topic"] for one in detector.state()["pools"][0]["streams"]] == ["t7"]
