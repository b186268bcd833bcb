"""Alerts in the store: raised once, taken, joined and ended by whoever is first, and told to those who know of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime

import pytest

from assistant.errors import StoreError
from assistant.monitor.ledger import Ledger
from assistant.store import open_store
from tests.assistant.monitor.test_ledger import ALERT, MINUTE, NOON, notice


def test_alert_comes_back_as_it_was_raised(ledger: Ledger) -> None:
    ended = {"state": "resolved", "resolved_at": NOON, "resolved_by": "recovery"}
    taken = {"acknowledged_at": NOON, "acknowledged_by": "kim"}
    full = replace(ALERT, id="a2", also=("refund/en",), **ended, **taken)  # type: ignore[arg-type]
    assert ledger.raise_alert(ALERT) and ledger.raise_alert(full)
    assert ledger.alert("a1") == ALERT and ledger.alert("a2") == full
    assert ledger.alert("a3") is None


def test_alert_is_raised_once_and_told_once(ledger: Ledger) -> None:
    assert ledger.raise_alert(ALERT, [notice(), notice("team")])
    assert not ledger.raise_alert(replace(ALERT, locale="zh"), [notice("third")])
    assert ledger.alert("a1") == ALERT
    assert sorted(row.target for row in ledger.outbox()) == ["ops", "team"]


def test_two_monitors_that_see_the_same_raise_one_alert(store_url: str) -> None:
    raised: list[bool] = []
    start = threading.Barrier(4)

    def work() -> None:
        with open_store(store_url) as own:
            start.wait(30)
            raised.append(own.monitor.raise_alert(ALERT, [notice()]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with open_store(store_url) as store:
        assert sorted(raised) == [False, False, False, True]
        assert len(store.monitor.outbox()) == 1


def test_alert_and_its_notices_are_kept_together_or_not_at_all(ledger: Ledger) -> None:
    with pytest.raises(StoreError, match="no time zone"):
        ledger.raise_alert(ALERT, [notice(), notice("team", at=datetime(2025, 3, 1))])
    assert ledger.alert("a1") is None and ledger.outbox() == []


def test_alerts_are_listed_by_state_time_and_topic_newest_first(ledger: Ledger) -> None:
    later = replace(ALERT, id="a2", topic="refund", opened_at=NOON + MINUTE)
    for alert in (ALERT, later):
        ledger.raise_alert(alert)
    ledger.resolve("a1", "kim", NOON)
    assert [alert.id for alert in ledger.alerts()] == ["a2", "a1"]
    assert [alert.id for alert in ledger.alerts("open")] == ["a2"]
    assert [alert.id for alert in ledger.alerts(until=NOON + MINUTE)] == ["a1"]
    assert [alert.id for alert in ledger.alerts(since=NOON + MINUTE)] == ["a2"]
    assert [alert.id for alert in ledger.alerts(topic="delivery_late")] == ["a1"]
    with pytest.raises(StoreError, match="'shut' is none of open, acknowledged, resolved"):
        ledger.alerts("shut")  # type: ignore[arg-type]


def test_alert_is_taken_and_ended_once_and_the_first_stays_named(ledger: Ledger) -> None:
    ledger.raise_alert(ALERT)
    assert ledger.acknowledge("a1", "kim", NOON + MINUTE, [notice(what="acknowledged")])
    assert not ledger.acknowledge("a1", "lee", NOON + 2 * MINUTE, [notice("team", "acknowledged")])
    assert ledger.resolve("a1", "recovery", NOON + 3 * MINUTE, [notice(what="resolved")])
    assert not ledger.resolve("a1", "lee", NOON + 4 * MINUTE, [notice("team", "resolved")])
    ended = ledger.alert("a1")
    assert ended is not None
    assert (ended.state, ended.acknowledged_by, ended.acknowledged_at) == ("resolved", "kim", NOON + MINUTE)
    assert (ended.resolved_by, ended.resolved_at) == ("recovery", NOON + 3 * MINUTE)
    assert sorted(row.body["what"] for row in ledger.outbox()) == ["acknowledged", "resolved"]
    with pytest.raises(StoreError, match="'a1' is resolved already, by recovery"):
        ledger.acknowledge("a1", "lee", NOON)


def test_moves_that_cannot_be_say_why(ledger: Ledger) -> None:
    ledger.raise_alert(ALERT)
    for attempt in (
        lambda: ledger.acknowledge("a9", "kim", NOON),
        lambda: ledger.resolve("a9", "kim", NOON),
        lambda: ledger.attach("a9", ["refund/en"]),
    ):
        with pytest.raises(StoreError, match="there is no alert 'a9'"):
            attempt()
    with pytest.raises(StoreError, match="nobody is named for alert 'a1'"):
        ledger.acknowledge("a1", " ", NOON)


def test_streams_of_one_cause_join_its_alert_once(ledger: Ledger) -> None:
    ledger.raise_alert(ALERT, [notice()])
    assert ledger.attach("a1", ["refund/en", "delivery_late/en", "refund/en"], [notice(what="joined:refund/en")])
    assert not ledger.attach("a1", ["refund/en"], [notice(what="joined again")])
    assert ledger.attach("a1", ["refund/zh"])
    found = ledger.alert("a1")
    assert found is not None and found.also == ("refund/en", "refund/zh")
    assert {row.body["what"] for row in ledger.outbox()} == {"opened", "joined:refund/en"}
    ledger.resolve("a1", "kim", NOON)
    assert not ledger.attach("a1", ["refund/en"])
    with pytest.raises(StoreError, match="resolved already, so 'returns/en' cannot join"):
        ledger.attach("a1", ["returns/en"])


def test_who_was_never_told_of_an_alert_is_not_told_how_it_goes_on(ledger: Ledger) -> None:
    ledger.raise_alert(ALERT)
    ledger.attach("a1", ["refund/en"], [notice(what="joined:refund/en")])
    ledger.resolve("a1", "recovery", NOON, [notice(what="resolved")])
    assert ledger.outbox() == [] and not ledger.announce("a1", [notice()])
    ledger.raise_alert(replace(ALERT, id="a2"))
    assert ledger.announce("a2", [notice()]) and ledger.announce("a2", [notice()])
    ledger.resolve("a2", "recovery", NOON, [notice(what="resolved"), notice("late", "resolved")])
    assert sorted((row.target, row.body["what"]) for row in ledger.outbox()) == [("ops", "opened"), ("ops", "resolved")]
