"""The monitor on a store: one alert for one cause, the same whether messages came in order, late, or all at once."""

from __future__ import annotations

import math
import random
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import StoreError, UsageError
from assistant.monitor.events import Alert, Signal
from assistant.monitor.explain import explain
from assistant.monitor.ledger import Ledger, Notice, Reading
from assistant.monitor.limits import Limits
from assistant.monitor.telling import notices
from assistant.monitor.watching import Caught, Monitor, Rules
from assistant.records import Transcript, TranscriptTurn
from assistant.sources import SourceRecord
from assistant.store import Store, open_store, sqlite_url

START = datetime(2025, 1, 6, tzinfo=UTC)
DAYS, SURGE_DAY = 44, 36.0
#: With two topics only, one false alert in four weeks is soon seen; here chance is to be kept out.
RULES = Rules(Limits(false_alerts=0.02))
CALM = ("could you tell me when it comes", "how long does it take", "which carrier is it", "can I change the day")
CROSS = ("this is taking far too long", "nobody answers me", "I am fed up with this")
FLOOD = ("the depot in Rivertown is under water and my box is lost", "again the flooded depot in Rivertown, I want an answer")


def moment(day: float) -> datetime:
    return START + timedelta(days=day)


def history(seed: int = 3, ratio: float = 6.0, sour: tuple[str, ...] = ("delivery",)) -> list[tuple[datetime, str, bool, str]]:
    """When, topic, negative or not, text: ten calm and two cross messages a day and topic, more by day than by night."""
    rng = random.Random(seed)
    rows = []
    for topic in ("delivery", "returns"):
        for negative, rate in ((False, 10.0), (True, 2.0)):
            day = 0.0
            while (day := day + rng.expovariate(200.0)) < DAYS:
                high = topic in sour and negative and day >= SURGE_DAY
                if rng.random() < rate * (ratio if high else 1.0) * (1 + 0.9 * math.sin(2 * math.pi * day)) / 200.0:
                    said = rng.choice(FLOOD if high else CROSS if negative else CALM)
                    rows.append((moment(day), topic, negative, said))
    return sorted(rows)


def fill(store: Store, rows: list[tuple[datetime, str, bool, str]], source: str = "s1") -> None:
    talks = [
        Transcript(f"{source}-{at}", (TranscriptTurn("customer", said, when),), "log:1", "en", f"contact-{source}-{at}")
        for at, (when, _, _, said) in enumerate(rows)
    ]
    store.add_source(SourceRecord(source, f"{source}.jsonl", "logs", source, "jsonl", START), talks)
    found = {turn.text + turn.at.isoformat(): turn.id for turn in store.monitor.unread_turns("s", 100_000)}
    store.monitor.add_readings(
        Reading(found[said + when.isoformat()], topic, "en", 0.9 if negative else 0.1, 0.1, "s", "i")
        for when, topic, negative, said in rows
    )


@pytest.fixture(scope="module")
def rows() -> list[tuple[datetime, str, bool, str]]:
    return history()


@pytest.fixture
def filled(store: Store, rows: list[tuple[datetime, str, bool, str]]) -> Ledger:
    fill(store, rows)
    return store.monitor


def monitor(ledger: Ledger, rules: Rules = RULES, old: timedelta = timedelta.max) -> Monitor:
    def tell(alert: Alert, what: str, now: datetime) -> tuple[Notice, ...]:
        return notices(alert, what, now, ("team", "manager"), UTC)

    return Monitor(ledger, rules, partial(explain, ledger, rules), tell, old)


def stepwise(watch: Monitor, first: float, last: float, hours: float) -> list[Caught]:
    at, found = first, []
    while at <= last:
        found.append(watch.catch_up(moment(at)))
        at += hours / 24
    return found


def test_a_surge_raises_one_alert_that_says_what_it_is_about_and_two_receivers_are_told(filled: Ledger) -> None:
    found = monitor(filled).catch_up(moment(DAYS))
    assert len(found.raised) == 1
    [alert] = filled.alerts()
    assert replace(alert, details={}) == replace(found.raised[0], details={})
    assert (alert.topic, alert.locale, alert.state) == ("delivery", "en", "open")
    assert moment(SURGE_DAY - 1) < alert.signal.since < alert.opened_at < moment(SURGE_DAY + 1.5)
    assert alert.signal.observed > 2 * alert.signal.expected
    words: Any = alert.details["words"]
    assert any("rivertown" in word["text"] or "depot" in word["text"] for word in words[:4])
    quoted: Any = alert.details["messages"]
    assert all("Rivertown" in text for text in filled.texts(quoted).values()) and quoted
    waiting = filled.outbox("waiting")
    assert sorted(row.target for row in waiting) == ["manager", "team"]
    assert all("delivery" in row.body["title"] and "Rivertown" not in str(row.body) for row in waiting)


def test_many_small_looks_end_where_one_look_does(filled: Ledger, tmp_path: Path, rows: Any) -> None:
    steps = monitor(filled)
    raised = [alert for one in stepwise(steps, 1.0, DAYS, 7.0) for alert in one.raised]
    last = steps.catch_up(moment(DAYS + 1))
    assert len(raised) + len(last.raised) == 1
    with open_store(sqlite_url(tmp_path / "other.db")) as other:
        fill(other, rows)
        whole = monitor(other.monitor)
        whole.catch_up(moment(DAYS + 1))
        assert whole.state() == steps.state()
        [one], [stepped] = other.monitor.alerts(), filled.alerts()
        assert (one.id, one.signal, one.details) == (stepped.id, stepped.signal, stepped.details)


def test_an_alert_from_before_it_said_of_how_many_is_explained_anew_too(filled: Ledger) -> None:
    monitor(filled).catch_up(moment(SURGE_DAY + 1.5))
    [young] = filled.alerts()
    filled.renew(young.id, {"words": []})
    monitor(filled).catch_up(moment(DAYS))
    [grown] = filled.alerts()
    assert grown.words and int(str(grown.details["of"])) > young.signal.observed


def test_a_new_topic_is_not_set_against_its_own_messages(store: Store) -> None:
    sour = [(moment(1 + at / 2000), "login", True, f"login page broken, attempt {at}") for at in range(700)]
    calm = [(moment(at / 300), "delivery", False, CALM[at % len(CALM)]) for at in range(200)]
    fill(store, sorted([*sour, *calm]))
    found = explain(store.monitor, RULES, Signal("new", "login", "en", moment(2), moment(1), 700, 1.0, 700, 0.1, 9.0))
    shares = {word["text"]: word["background_share"] for word in found["words"]}
    assert found["of"] == 700 and shares["login page broken"] == 0.0


def test_an_open_alert_is_explained_anew_as_its_messages_double(filled: Ledger) -> None:
    watch = monitor(filled)
    hours = iter(range(48))
    while not watch.catch_up(moment(SURGE_DAY + next(hours) / 24)).raised:
        pass
    [opened] = filled.alerts()
    monitor(filled).catch_up(moment(SURGE_DAY + 4))  # another one goes on after a restart
    [grown] = filled.alerts()
    first, later = (Counter({word["text"]: word["count"] for word in one.words}) for one in (opened, grown))
    assert int(str(grown.details["of"])) >= 2 * int(str(opened.details["of"])) > 0
    assert sum(later.values()) > sum(first.values()) and any("rivertown" in word for word in later)
    assert grown.signal == opened.signal and len(filled.outbox()) == 2, "its opening stays, nobody is told twice"
    filled.resolve(grown.id, "Anna", moment(SURGE_DAY + 4))
    monitor(filled).catch_up(moment(DAYS))
    assert filled.alerts()[-1].details == grown.details, "what is over keeps the explanation it had"
    assert not filled.renew(grown.id, {})
    with pytest.raises(StoreError, match="no alert 'alert_x'"):
        filled.renew("alert_x", {})


def test_a_monitor_that_is_restarted_or_rebuilt_goes_on_as_if_it_had_run_through(filled: Ledger) -> None:
    first = monitor(filled)
    first.catch_up(moment(DAYS - 3))
    again = monitor(filled)
    assert again.catch_up(moment(DAYS)).events < 600
    state, alerts, sent = again.state(), filled.alerts(), filled.outbox()
    rebuilt = monitor(filled)
    rebuilt.forget()
    assert rebuilt.catch_up(moment(DAYS)).events > 1000
    assert (rebuilt.state(), filled.alerts(), filled.outbox()) == (state, alerts, sent)


def test_what_comes_late_counts_where_it_belongs(store: Store, rows: Any) -> None:
    late = [row for at, row in enumerate(rows) if at % 17 == 0 and row[0] > moment(20)]
    fill(store, [row for row in rows if row not in late])
    watch = monitor(store.monitor)
    watch.catch_up(moment(DAYS))
    assert not watch.catch_up(moment(DAYS + 0.01)).rewound
    fill(store, late, source="s2")
    caught = watch.catch_up(moment(DAYS + 0.02))
    assert caught.rewound and not caught.raised
    in_order = monitor(store.monitor)
    in_order.forget()
    in_order.catch_up(moment(DAYS + 0.02))
    assert in_order.state() == watch.state() and len(store.monitor.alerts()) == 1


def test_an_erased_customer_is_not_counted_any_more(store: Store, rows: Any) -> None:
    fill(store, rows)
    watch = monitor(store.monitor)
    watch.catch_up(moment(DAYS))
    counted = watch.state()["count"]
    store.forget_contact("contact-s1-100")
    assert watch.catch_up(moment(DAYS + 0.01)).rewound
    assert watch.state()["count"] == counted - 1


def test_a_clock_that_jumps_loses_nothing_and_counts_nothing_twice(filled: Ledger) -> None:
    watch = monitor(filled)
    watch.catch_up(moment(20))
    assert watch.catch_up(moment(20 - 0.001)) == Caught()
    watch.catch_up(moment(DAYS + 400))  # a year ahead
    back = watch.catch_up(moment(30))
    assert back.rewound
    watch.catch_up(moment(DAYS))
    straight = monitor(filled)
    straight.forget()
    straight.catch_up(moment(DAYS))
    assert straight.state() == watch.state()
    assert len(filled.alerts()) == 1


def test_two_monitors_on_one_store_raise_one_alert(filled: Ledger) -> None:
    one, other = monitor(filled), monitor(filled)
    for day in range(30, DAYS + 1):
        one.catch_up(moment(day))
        other.catch_up(moment(day))
    assert len(filled.alerts()) == 1 and len(filled.outbox()) == 2


def test_two_monitors_that_look_at_the_same_moment_raise_one_alert_and_count_nothing_twice(store_url: str, rows: Any) -> None:
    with open_store(store_url) as store:
        fill(store, rows)
    together, states, faults = threading.Barrier(2), list[dict[str, Any]](), list[BaseException]()

    def watch() -> None:
        try:
            with open_store(store_url) as own:
                looking = monitor(own.monitor)
                for day in range(30, DAYS + 1):
                    together.wait(60)
                    looking.catch_up(moment(day))
                states.append(looking.state())
        except BaseException as fault:
            faults.append(fault)
            together.abort()

    threads = [threading.Thread(target=watch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert faults == [] and len(states) == 2
    with open_store(store_url) as store:
        assert states[0] == states[1] and states[0]["count"] == len(list(store.monitor.stream(until=moment(DAYS)))) > 1000
        assert len(store.monitor.alerts()) == 1
        assert Counter(row.target for row in store.monitor.outbox()) == {"team": 1, "manager": 1}


def test_topics_that_turn_for_the_same_words_are_one_alert(store: Store) -> None:
    fill(store, history(sour=("delivery", "returns")))
    monitor(store.monitor).catch_up(moment(DAYS))
    (alert,) = store.monitor.alerts()
    assert {f"{alert.topic}/en", *alert.also} == {"delivery/en", "returns/en"}
    joined = [row for row in store.monitor.outbox() if row.body["what"].startswith("joined:")]
    assert sorted(row.target for row in joined) == ["manager", "team"] and "as well" in joined[0].body["title"]


def test_an_alert_of_two_topics_is_over_when_both_are(store: Store) -> None:
    rows = history(sour=("delivery", "returns"))
    late = {"delivery": 38.0, "returns": 42.0}
    fill(store, [row for row in rows if not (row[2] and row[0] > moment(late[row[1]]))])
    found = stepwise(monitor(store.monitor), 30, DAYS + 4, 6)
    raised = [alert for one in found for alert in one.raised]
    (ended,) = [alert for one in found for alert in one.resolved]
    assert len(raised) == 1 and ended.resolved_at is not None and ended.resolved_at > moment(42)


def test_an_alert_ends_by_itself_when_its_topic_recovers_and_receivers_are_told(store: Store) -> None:
    rows = [row for row in history() if not (row[2] and row[1] == "delivery" and row[0] > moment(38))]
    fill(store, rows)
    found = stepwise(monitor(store.monitor), 30, DAYS + 1, 6)
    (ended,) = [alert for one in found for alert in one.resolved]
    stored = store.monitor.alert(ended.id)
    assert stored is not None and stored.state == "resolved" and stored.resolved_by == "recovery"
    assert sorted(row.body["what"] for row in store.monitor.outbox()) == ["opened", "opened", "resolved", "resolved"]
    told = next(row.body for row in store.monitor.outbox() if row.body["what"] == "resolved")
    assert told["data"]["state"] == "resolved" and f"over at {stored.resolved_at:%Y-%m-%d %H:%M}" in told["text"]


def test_an_alert_that_a_person_ends_while_the_topic_stays_high_is_followed_by_another(filled: Ledger) -> None:
    watch = monitor(filled)
    watch.catch_up(moment(38))
    (first,) = filled.alerts()
    filled.resolve(first.id, "Ada", moment(38))
    stepwise(watch, 38.1, DAYS, 6)
    assert len(filled.alerts()) == 2
    state = watch.state()
    rebuilt = monitor(filled)
    rebuilt.forget()
    rebuilt.catch_up(moment(DAYS))
    watch.catch_up(moment(DAYS))
    assert len(filled.alerts()) == 2 and rebuilt.state()["detector"] == watch.state()["detector"] and state


def test_other_settings_begin_anew_and_call_nobody_twice(filled: Ledger) -> None:
    monitor(filled).catch_up(moment(DAYS))
    other = monitor(filled, replace(RULES, above={"en": 0.85}))
    assert other.catch_up(moment(DAYS)).events > 1000
    (alert,) = filled.alerts()
    assert alert.state == "open" and len(filled.outbox()) == 2


def test_what_other_settings_would_not_have_raised_is_over_with_them(filled: Ledger) -> None:
    monitor(filled).catch_up(moment(DAYS))
    found = monitor(filled, replace(RULES, above={"en": 0.95})).catch_up(moment(DAYS))
    (alert,) = filled.alerts()
    assert [one.id for one in found.resolved] == [alert.id] and alert.state == "resolved"


def test_of_old_surges_people_hear_only_if_they_go_on(filled: Ledger) -> None:
    monitor(filled, old=timedelta(days=1)).catch_up(moment(DAYS))
    assert filled.alerts()[0].opened_at < moment(DAYS - 3)
    assert sorted((row.target, row.body["what"]) for row in filled.outbox()) == [("manager", "opened"), ("team", "opened")]


def test_of_old_surges_that_are_over_nobody_hears(store: Store) -> None:
    fill(store, [row for row in history() if not (row[2] and row[1] == "delivery" and row[0] > moment(38))])
    monitor(store.monitor, old=timedelta(days=1)).catch_up(moment(DAYS))
    assert [one.state for one in store.monitor.alerts()] == ["resolved"] and store.monitor.outbox() == []


def test_a_moment_without_a_zone_is_refused(filled: Ledger) -> None:
    with pytest.raises(UsageError, match="time zone"):
        monitor(filled).catch_up(datetime(2025, 1, 1))
