"""The stream of events, narrowed down: several streams come in one pass, and nothing of any other."""

from __future__ import annotations

from dataclasses import replace

from assistant.monitor.event_rows import Stream
from assistant.records import IntentGuess
from assistant.store import Store
from tests.assistant.monitor.test_ledger import MINUTE, NOON, SOUR, ingest, past, reading, say


def test_several_streams_are_read_in_one_pass(store: Store) -> None:
    refund = replace(SOUR, intents=(IntentGuess("refund", 0.9),))
    for number, known in enumerate([SOUR, refund, replace(SOUR, language="zh"), replace(refund, language="zh")] * 2):
        say(store, f"c{number:02d}", NOON + number * MINUTE, known)
    ingest(store, past(*(("customer", f"line {number}", NOON + number * MINUTE) for number in range(3))))
    topics = ("refund", "delivery_late", "refund")
    store.monitor.add_readings(reading(f"transcript:s1/17#{place:04d}", topic=topic) for place, topic in enumerate(topics))
    chosen = [Stream("refund", "en"), Stream("delivery_late", "zh")]
    wanted = [event for event in store.monitor.stream() if Stream(event.topic, event.locale) in chosen]
    assert len({(event.topic, event.locale) for event in wanted}) == 2 and len(wanted) > 4
    assert list(store.monitor.stream(only=chosen)) == wanted
    assert list(store.monitor.stream(only=[])) == []
