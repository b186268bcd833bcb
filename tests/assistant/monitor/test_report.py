"""The report: what it counts, what it names and does not name, and a page that nothing a customer writes can harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from assistant.errors import UsageError
from assistant.monitor.events import Alert, Event, Signal
from assistant.monitor.report import build
from assistant.monitor.report_records import Answered, Period, ReportData, Texts, last_day, last_week
from assistant.records import Action

BERLIN = ZoneInfo("Europe/Berlin")
WEEK = Period(datetime(2027, 3, 1, tzinfo=BERLIN), datetime(2027, 3, 8, tzinfo=BERLIN))
MADE = datetime(2027, 3, 8, 6, tzinfo=BERLIN)


def message(
    name: str, at: datetime, score: float = 0.0, topic: str = "delivery", locale: str = "en", talk: str = "", **more: str
) -> Event:
    return Event(name, talk or f"c-{name}", at, topic, locale, negative=max(0.0, -score), positive=max(0.0, score), **more)


def reply(name: str, at: datetime, action: Action = "send", reason: str = "template", **more: object) -> Answered:
    plain = Answered(
        name, f"c-{name}", at, "delivery", "en", "chat", action, reason, reason if action == "send" else "", None, 40.0
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def messages(period: Period, count: int, negative: int, topic: str = "delivery", locale: str = "en") -> list[Event]:
    """Spread over the period, the first ones negative."""
    gap = (period.until - period.since) / (count + 1)
    tag = f"{topic}-{locale}-{period.since:%m%d}"
    return [
        message(f"{tag}-{at}", period.since + (at + 1) * gap, -0.9 if at < negative else 0.0, topic, locale)
        for at in range(count)
    ]


def fetch(known: object) -> Texts:
    """Give texts as a store does: those that are there, in the order asked for."""
    assert isinstance(known, dict)
    return lambda ids: {id: known[id] for id in ids if id in known}


def report(
    events: list[Event], answered: list[Answered] | None = None, alerts: list[Alert] | None = None, **more: object
) -> ReportData:
    settings: dict[str, object] = {"zone": BERLIN, "made_at": MADE, "company": "Lumi", **more}
    settings["texts"] = fetch(more.get("texts", {}))
    return build(WEEK, events, alerts or [], answered or [], **settings)  # type: ignore[arg-type]


def alert(**more: object) -> Alert:
    since = WEEK.since + timedelta(days=2)
    seen = since + timedelta(hours=6)
    signal = Signal("share", "delivery", "en", seen, since, 21, 6.4, 33, 0.003, 3.3)
    return replace(Alert("a1", "delivery", "en", signal, "open", seen), **more)  # type: ignore[arg-type]


def full() -> ReportData:
    """Everything a page can show."""
    before, at = WEEK.before(), WEEK.since + timedelta(days=3)
    events = messages(before, 60, 10) + messages(WEEK, 60, 40) + messages(before, 40, 20, "refund", "zh")
    events += messages(WEEK, 40, 2, "refund", "zh")
    events += [message(f"b{n}", at + timedelta(minutes=n), score, talk="bad") for n, score in enumerate((0.0, -0.7, -0.9, -0.9))]
    events += [message(f"g{n}", at + timedelta(minutes=n), score, talk="good") for n, score in enumerate((-0.9, -0.4, 0.7, 0.9))]
    events = [replace(one, version="s1" if one.at < at else "s2") for one in events]
    texts = {one.id: f"text of {one.id}" for one in events} | {"b3": "never again", "g0": "this is too late", "g3": "wonderful"}
    answered = [reply(one.id, one.at, latency_ms=float(n), rating=1 if n % 3 else None) for n, one in enumerate(events)]
    answered += [reply(f"q{n}", at, "clarify", "low_confidence", asked=22) for n in range(3)]
    texts |= {f"q{n}": "do you ship to iceland" for n in range(3)}
    details: dict[str, object] = {
        "words": [{"text": "not arrived", "z": 4.0}],
        "messages": ["b3", "gone"],
        "articles": [{"id": "a", "title": "Delivery times", "count": 4}],
        "versions": {"sentiment": {"s2": 30}},
        "emotions": {"anger": 0.4},
        "last_time": {"opened_at": "2027-01-12T08:00:00+01:00", "observed": 17, "hours": 70.2, "resolved_by": "recovery"},
    }
    return report(events, answered, [alert(details=details, also=("delivery/zh",))], texts=texts)


def test_worse_and_better_are_named_and_noise_is_not() -> None:
    before, draw = WEEK.before(), Random(2)
    events = (
        messages(before, 60, 10) + messages(WEEK, 60, 40) + messages(before, 40, 20, "refund") + messages(WEEK, 40, 2, "refund")
    )
    for number in range(30):
        steady = [sum(draw.random() < 0.2 for _ in range(30)) for _ in range(2)]
        events += messages(before, 30, steady[0], f"topic{number}") + messages(WEEK, 30, steady[1], f"topic{number}")
    data = report(events)
    assert [(one.topic, one.verdict) for one in data.moves[:2]] == [("delivery", "worse"), ("refund", "better")]
    assert {one.verdict for one in data.moves[2:]} == {"steady"}
    assert [one.topic for one in data.courses] == ["delivery", "refund"]


def test_more_unhappy_customers_at_the_same_share_are_worse_but_fewer_are_not_better() -> None:
    before = WEEK.before()
    more = report(messages(before, 50, 20) + messages(WEEK, 150, 60)).moves[0]
    fewer = report(messages(before, 150, 60) + messages(WEEK, 50, 20)).moves[0]
    assert (more.verdict, fewer.verdict) == ("worse", "steady")


def test_where_not_even_half_and_double_are_told_apart_a_change_is_too_small_to_tell() -> None:
    before = WEEK.before()

    def told(now: tuple[int, int], then: tuple[int, int]) -> bool:
        steady = [event for n in range(20) for part in (before, WEEK) for event in messages(part, 40, 10, f"other{n}")]
        moves = report([*messages(WEEK, *now), *messages(before, *then), *steady]).moves
        return not next(one for one in moves if one.topic == "delivery").too_few

    assert not told((20, 0), (20, 3)) and not told((40, 4), (40, 5)) and not told((6, 0), (9, 0))
    assert told((300, 90), (300, 96)), "enough to call it steady"
    assert told((400, 0), (400, 0)), "as steady as can be"
    assert told((60, 40), (60, 10)), "worse"


def test_a_topic_seen_for_the_first_time_is_new_and_worse_only_with_evidence() -> None:
    assert report(messages(WEEK, 5, 1)).moves[0].verdict == "new"
    assert report(messages(WEEK, 30, 25)).moves[0].verdict == "worse"
    assert report(messages(WEEK.before(), 30, 2)).moves[0].verdict == "gone"


def test_each_language_is_counted_for_itself() -> None:
    data = report(messages(WEEK, 30, 3) + messages(WEEK, 20, 10, locale="zh"))
    assert [(one.locale, one.now.messages, one.now.negative) for one in data.locales] == [("en", 30, 3), ("zh", 20, 10)]
    assert {(one.topic, one.locale) for one in data.moves} == {("delivery", "en"), ("delivery", "zh")}


def test_messages_at_the_edges_and_told_twice_are_counted_once_and_where_they_belong() -> None:
    events = [
        message("first", WEEK.since),
        message("last", WEEK.until - timedelta(microseconds=1)),
        message("after", WEEK.until),
        message("then", WEEK.since - timedelta(microseconds=1)),
        message("long ago", WEEK.since - timedelta(days=30)),
    ]
    data = report([*events, *events])
    assert (data.now.messages, data.then.messages) == (2, 1)


def test_a_period_that_cuts_an_hour_in_two_is_counted_to_the_minute() -> None:
    cut = Period(WEEK.since + timedelta(minutes=20), WEEK.since + timedelta(hours=3, minutes=40))
    events = [message(str(minutes), WEEK.since + timedelta(minutes=minutes)) for minutes in (10, 20, 219, 220)]
    assert build(cut, events, [], [], texts=fetch({}), zone=BERLIN, made_at=MADE).now.messages == 2


def test_service_counts_conversations_for_handoffs_and_replies_for_questions_back() -> None:
    at = WEEK.since + timedelta(days=1)
    answered = [
        reply("1", at, rating=1, latency_ms=10.0),
        reply("2", at, "handoff", "asked_for_person", conversation="c-1", latency_ms=20.0),
        reply("3", at, "clarify", "low_confidence", latency_ms=30.0),
        reply("4", at, rating=-1, latency_ms=40.0),
        reply("4", at, rating=-1, latency_ms=40.0),
    ]
    service = report([], answered).service
    assert (service.conversations, service.deflected, service.handoffs) == (3, 1, 1)
    assert (service.replies, service.clarifications, service.rated, service.liked) == (4, 1, 2, 1)
    assert (service.p50_ms, service.p95_ms) == (25.0, pytest.approx(38.5))


def test_a_change_of_service_is_set_against_the_period_before() -> None:
    before, at = WEEK.before().since + timedelta(days=1), WEEK.since + timedelta(days=1)
    answered = [reply(f"a{n}", before) for n in range(40)] + [reply(f"b{n}", at) for n in range(20)]
    answered += [reply(f"h{n}", at, "handoff", "unsure_twice") for n in range(20)]
    handoffs = next(one for one in report([], answered).figures if one.name == "handoffs")
    assert (handoffs.now, handoffs.before) == (0.5, 0.0)
    assert handoffs.change is not None and handoffs.change.p_value < 0.001


def test_versions_are_marked_where_they_began_and_the_first_of_all_is_not() -> None:
    change = WEEK.since + timedelta(days=2)
    events = [replace(one, version="s2" if one.at >= change else "s1", intent_version="i1") for one in messages(WEEK, 70, 0)]
    (mark,) = report(events + messages(WEEK.before(), 3, 0)).versions
    assert (mark.task, mark.version, mark.before) == ("sentiment", "s2", "s1")
    assert change <= mark.at < change + timedelta(hours=6)


def test_alerts_open_in_the_period_are_shown_with_their_details() -> None:
    (row,) = full().alerts
    assert (row.words, row.articles, row.versions) == (("not arrived",), ("Delivery times",), ("sentiment s2",))
    assert row.typical == ("never again",)
    assert row.last is not None and (row.last.opened, row.last.observed) == ("2027-01-12", 17)


def test_alerts_without_details_are_explained_from_the_texts() -> None:
    events = messages(WEEK, 80, 0)
    late = [message(f"late{n}", WEEK.since + timedelta(days=3, minutes=n), -0.9) for n in range(8)]
    texts = {one.id: f"how many watts has lamp {n}" for n, one in enumerate(events)}
    texts |= {one.id: f"parcel number {n} not arrived" for n, one in enumerate(late)}
    (row,) = report(events + late, alerts=[alert()], texts=texts).alerts
    assert any("arrived" in word for word in row.words)
    assert row.typical and all("arrived" in text for text in row.typical)


def test_alerts_over_before_or_opened_after_the_period_are_left_out() -> None:
    over = alert(opened_at=WEEK.since - timedelta(days=3), resolved_at=WEEK.since - timedelta(days=1), state="resolved")
    later = alert(opened_at=WEEK.until)
    still = alert(id="still", opened_at=WEEK.since - timedelta(days=3))
    assert [one.id for one in report([], alerts=[over, later, still]).alerts] == ["still"]


def test_few_messages_give_long_steps_and_many_short_ones() -> None:
    few, many = report(messages(WEEK, 40, 10)), report(messages(WEEK, 4_000, 300))
    assert (len(few.overall.points), few.overall.step.unit) == (1, "week")
    assert (len(many.overall.points), many.overall.step.unit, many.overall.step.count) == (28, "hour", 6)
    assert sum(one.tally.messages for one in many.overall.points) == 4_000


def test_last_day_and_week_follow_the_calendar_across_a_changed_clock() -> None:
    monday = datetime(2027, 3, 29, 0, 5, tzinfo=BERLIN)  # the clock went forward on Sunday
    week = last_week(monday, BERLIN)
    assert (week.since, week.until) == (datetime(2027, 3, 22, tzinfo=BERLIN), datetime(2027, 3, 29, tzinfo=BERLIN))
    assert week.before().since == datetime(2027, 3, 15, tzinfo=BERLIN)
    assert last_day(monday, BERLIN).since == datetime(2027, 3, 28, tzinfo=BERLIN)


def test_periods_and_times_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        Period(WEEK.until, WEEK.since)
    with pytest.raises(UsageError, match="zone"):
        Period(datetime(2027, 3, 1), datetime(2027, 3, 2))
    with pytest.raises(UsageError, match="m7"):
        report([message("m7", datetime(2027, 3, 2, 9))])
