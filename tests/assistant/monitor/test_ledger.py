"""The monitor's books: one stream of what customers wrote, alerts raised once, and nothing that outlives a customer."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import StoreError
from assistant.monitor.event_rows import chances_of, stream, topic_of
from assistant.monitor.events import Alert, Event, Signal
from assistant.monitor.ledger import Ledger, Notice, Place, Reading, Said, Stream
from assistant.records import IntentGuess, Message, Reply, Sentiment, Transcript, TranscriptTurn, Understanding
from assistant.sources import SourceRecord
from assistant.store import Store, open_store, sqlite_url

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SOUR = Understanding(
    "en",
    (IntentGuess("delivery_late", 0.8), IntentGuess("refund", 0.1)),
    0.05,
    Sentiment("negative", 0.75, -0.7),
    versions={"intent": "i3", "sentiment": "s2"},
)
SIGNAL = Signal("number", "delivery_late", "en", NOON, NOON - 5 * MINUTE, 12, 3.5, 20, 0.4, 3.4)
ALERT = Alert("a1", "delivery_late", "en", SIGNAL, "open", NOON, details={"messages": ["c1-m"], "words": [{"word": "late"}]})


def say(store: Store, id: str, at: datetime, known: Understanding = SOUR, **conversation: Any) -> None:
    """Hold a conversation of one turn: ``ID-m`` asks."""
    store.start_conversation(id, at, **conversation)
    store.record_turn(
        Message(f"{id}-m", id, f"question of {id}", at), Reply(id, f"{id}-r", "send", "sure", "x", known, (), {}, 0.0)
    )


def past(*turns: tuple[str, str, datetime | None], id: str = "17", **rest: Any) -> Transcript:
    return Transcript(id, tuple(TranscriptTurn(role, text, at) for role, text, at in turns), "logs:1", **rest)  # type: ignore[arg-type]


def ingest(store: Store, *transcripts: Transcript, id: str = "s1") -> None:
    store.add_source(SourceRecord(id, f"{id}.jsonl", "logs", id, "jsonl", NOON), transcripts)


def reading(id: str, **changes: Any) -> Reading:
    values = {"topic": "refund", "locale": "zh", "negative": 0.2, "positive": 0.5, "version": "s2", "intent_version": "i3"}
    return Reading(id, **{**values, **changes})


def notice(target: str = "ops", what: str = "opened", **changes: Any) -> Notice:
    return replace(Notice(target, what, "Late parcels", "12 against 3.5", NOON, {"observed": 12}, ("c1-m",)), **changes)


# The stream of events


def test_live_message_is_an_event_with_all_that_was_understood(store: Store) -> None:
    say(store, "c1", NOON, lang="zh", channel="chat")
    assert list(store.monitor.stream()) == [
        Event("c1-m", "conversation:c1", NOON, "delivery_late", "en", "chat", "s2", 0.75, pytest.approx(0.05), {}, "i3")
    ]


def test_message_that_no_adapter_read_has_the_conversations_language_and_no_topic(store: Store) -> None:
    say(store, "c1", NOON, Understanding("und"), lang="zh")
    say(store, "c2", NOON + MINUTE, Understanding("und"))
    first, second = store.monitor.stream()
    assert (first.topic, first.locale, first.version, first.negative, first.positive) == ("", "zh", "", 0.0, 0.0)
    assert (second.locale, second.channel) == ("und", "")


@pytest.mark.parametrize(("out_of_scope", "topic"), [(0.05, "delivery_late"), (0.8, "delivery_late"), (0.81, "oos")])
def test_topic_is_what_the_adapter_thinks_likeliest(store: Store, out_of_scope: float, topic: str) -> None:
    known = replace(SOUR, out_of_scope=out_of_scope)
    say(store, "c1", NOON, known)
    assert [event.topic for event in store.monitor.stream()] == [topic] == [topic_of(known)]


def test_one_stream_alone_is_what_all_messages_say_of_it(store: Store) -> None:
    unknown, other = Understanding("und"), replace(SOUR, intents=(IntentGuess("refund", 0.9),))
    kinds = [SOUR, replace(SOUR, language="zh"), replace(SOUR, out_of_scope=0.9), other, replace(other, language="zh"), unknown]
    for number, known in enumerate(kinds * 2):
        say(store, f"c{number:02d}", NOON + number * MINUTE, known)
    ingest(store, past(*(("customer", f"line {number}", NOON + number * MINUTE) for number in range(6))))
    topics = dict(enumerate(("refund", "delivery_late", "oos", "", "refund", "oos")))
    store.monitor.add_readings(reading(f"transcript:s1/17#{place:04d}", topic=topic) for place, topic in topics.items())
    told = list(store.monitor.stream())
    found = {Stream(event.topic, event.locale) for event in told}
    assert len(found) == 8
    for one in (*found, Stream("never heard of", "en")):
        wanted = [event for event in told if (event.topic, event.locale) == (one.topic, one.locale)]
        for page in (1, 3, 100):
            assert list(stream(store.monitor._database, page=page, only=[one])) == wanted
        assert list(store.monitor.stream(None, NOON + 5 * MINUTE, [one])) == [e for e in wanted if e.at < NOON + 5 * MINUTE]


def test_probabilities_behind_a_stored_sentiment_are_exact() -> None:
    chance = random.Random(7)
    for _ in range(2_000):
        drawn = [chance.random() ** 3 for _ in range(3)]
        negative, neutral, positive = (value / sum(drawn) for value in drawn)
        label, confidence = max([("negative", negative), ("neutral", neutral), ("positive", positive)], key=lambda pair: pair[1])
        found = chances_of(label, confidence, positive - negative)  # type: ignore[arg-type]
        assert (found.negative, found.positive) == (pytest.approx(negative, abs=1e-12), pytest.approx(positive, abs=1e-12))


def test_live_and_past_come_in_order_of_time_and_id_however_they_are_paged(store: Store) -> None:
    chance = random.Random(3)
    names = ["B", "a", "C", "b", "A", "ä", "10", "9", "c-1", "c1"]
    chance.shuffle(names)
    for name in names:
        say(store, name, NOON + chance.choice([0, 1, 2]) * MINUTE)
    turns = [("customer", f"line {number}", NOON + chance.choice([0, 1]) * MINUTE) for number in range(12)]
    ingest(store, past(*turns, ("agent", "hm", NOON)), past(("customer", "ho", NOON + MINUTE), id="a b#1/2"))
    store.monitor.add_readings(reading(turn.id) for turn in store.monitor.unread_turns("s2", 99))
    told = list(store.monitor.stream())
    assert len(told) == len({event.id for event in told}) == 23
    assert [(event.at, event.id) for event in told] == sorted((event.at, event.id) for event in told)
    for page in (1, 2, 7):
        assert list(stream(store.monitor._database, page=page)) == told
    for place, event in enumerate(told):
        after = Place(event.at, event.id)
        assert store.monitor.events(after, None, 99) == told[place + 1 :]
        assert store.monitor.count(after) == place + 1
    assert store.monitor.events(None, None, 5) == told[:5]
    assert store.monitor.events(None, NOON + MINUTE, 99) == [event for event in told if event.at < NOON + MINUTE]
    assert store.monitor.events(None, None, 0) == []


def test_what_comes_late_is_found_by_counting(store: Store) -> None:
    say(store, "c1", NOON)
    say(store, "c2", NOON + 2 * MINUTE)
    end = Place(NOON + 2 * MINUTE, "c2-m")
    assert store.monitor.count(end) == 2
    say(store, "c0", NOON + MINUTE)
    assert store.monitor.events(end, None, 9) == []
    assert store.monitor.count(end) == 3


def test_stream_goes_on_while_messages_are_written(store: Store) -> None:
    for number in range(4):
        say(store, f"c{number}", NOON + number * MINUTE)
    running = stream(store.monitor._database, page=2)
    first = [event.id for event in islice(running, 1)]
    say(store, "c9", NOON + 9 * MINUTE)
    assert first + [event.id for event in running] == ["c0-m", "c1-m", "c2-m", "c3-m", "c9-m"]


# Readings of past turns


def test_past_turns_of_customers_wait_until_they_are_read_by_this_version(store: Store) -> None:
    ingest(
        store,
        past(("customer", "早", NOON), ("agent", "hello", NOON), ("customer", "late", None), started_at=NOON - MINUTE, lang="zh"),
        past(("customer", "never", None), id="18"),
    )
    first, second = store.monitor.unread_turns("s2", 9)
    assert (first.id, first.conversation, first.at, first.text, first.lang) == (
        "transcript:s1/17#0000",
        "transcript:s1/17",
        NOON,
        "早",
        "zh",
    )
    assert (second.id, second.at) == ("transcript:s1/17#0002", NOON - MINUTE)
    assert store.monitor.unread_turns("s2", 1) == [first]
    assert store.monitor.unread_turns("s2", 9, after=first.id) == [second]
    assert store.monitor.unread_turns("s2", 9, after=second.id) == []
    assert store.monitor.add_readings([reading(first.id, emotions={"anger": 0.5})]) == 1
    assert store.monitor.unread_turns("s2", 9) == [second]
    assert store.monitor.unread_turns("s3", 9) == [first, second]
    assert list(store.monitor.stream()) == [
        Event(first.id, "transcript:s1/17", NOON, "refund", "zh", "", "s2", 0.2, 0.5, {"anger": 0.5}, "i3")
    ]


def test_reading_twice_is_reading_once_and_a_newer_version_replaces(store: Store) -> None:
    ingest(store, past(("customer", "hm", NOON), channel="mail"))
    (turn,) = store.monitor.unread_turns("s2", 9)
    for _ in range(2):
        assert store.monitor.add_readings([reading(turn.id), reading(turn.id)]) == 1
    assert store.monitor.add_readings([reading(turn.id, version="s3", negative=0.9)]) == 1
    (event,) = store.monitor.stream()
    assert (event.version, event.negative, event.channel) == ("s3", 0.9, "mail")


def test_turn_that_went_away_meanwhile_is_left_out_and_the_rest_is_kept(store: Store) -> None:
    ingest(store, past(("customer", "a", NOON), id="1", contact="anna"), past(("customer", "b", NOON), id="2"))
    turns = store.monitor.unread_turns("s2", 9)
    store.forget_contact("anna")
    assert store.monitor.add_readings(reading(turn.id) for turn in turns) == 1
    assert [event.conversation for event in store.monitor.stream()] == ["transcript:s1/2"]


@pytest.mark.parametrize(
    "id", ["c1-m", "transcript:", "transcript:s1", "transcript:s1/17", "transcript:s1/17#x", "transcript:/1#²"]
)
def test_reading_of_no_turn_is_refused_with_its_id(ledger: Ledger, id: str) -> None:
    with pytest.raises(StoreError, match=r"is no turn of a past conversation"):
        ledger.add_readings([reading(id)])


def test_reading_with_a_figure_that_is_no_probability_is_refused(ledger: Ledger) -> None:
    for wrong in ({"negative": 1.1}, {"positive": float("nan")}, {"emotions": {"anger": -0.1}}):
        with pytest.raises(StoreError, match="no probability"):
            ledger.add_readings([reading("transcript:s1/17#0000", **wrong)])


# What is shown


def test_texts_come_by_id_live_and_past_whatever_they_hold(store: Store) -> None:
    say(store, "c1", NOON)
    ingest(store, past(("customer", "😀 '; DROP", NOON), ("customer", "ho", NOON), id="a/b#1"))
    first, second = (turn.id for turn in store.monitor.unread_turns("s2", 9))
    found = store.monitor.texts([second, "gone", "c1-m", first, first])
    assert found == {
        second: "ho",
        "c1-m": "question of c1",
        first: "😀 '; DROP",
    }
    assert store.monitor.texts([]) == {}


def test_only_what_was_asked_for_is_fetched_or_read(store: Store) -> None:
    for source in ("s1", "s2"):
        ingest(store, *(past(("customer", "a", NOON), ("customer", "b", NOON), id=id) for id in ("17", "18")), id=source)
    wanted = ["transcript:s1/17#0000", "transcript:s1/18#0001", "transcript:s2/18#0000"]
    assert store.monitor.texts(wanted) == dict(zip(wanted, "aba", strict=True))
    assert store.monitor.add_readings(map(reading, wanted)) == 3
    assert [event.id for event in store.monitor.stream()] == wanted


def test_conversation_tells_its_trajectory(store: Store) -> None:
    say(store, "c1", NOON)
    assert store.monitor.conversation("conversation:c1") == [
        Said("c1-m", NOON, "customer", "question of c1", 0.75, pytest.approx(0.05), "en"),
        Said("c1-r", NOON, "bot", "x"),
    ]
    ingest(store, past(("customer", "grr", NOON), ("agent", "hello", None), ("customer", "ok", NOON + MINUTE)))
    store.monitor.add_readings([reading("transcript:s1/17#0000", negative=0.9, positive=0.05)])
    assert store.monitor.conversation("transcript:s1/17") == [
        Said("transcript:s1/17#0000", NOON, "customer", "grr", 0.9, 0.05, "zh"),
        Said("transcript:s1/17#0001", None, "agent", "hello"),
        Said("transcript:s1/17#0002", NOON + MINUTE, "customer", "ok"),
    ]
    for unknown in ("conversation:no", "transcript:s1/no", "nonsense"):
        assert store.monitor.conversation(unknown) == []


# Snapshots


def test_snapshot_is_replaced_by_the_next(ledger: Ledger) -> None:
    assert ledger.load_state("detectors") is None
    ledger.save_state("detectors", {"a": [1, 2.5, None]}, NOON)
    ledger.save_state("detectors", {"a": ["后"]}, NOON + MINUTE)
    ledger.save_state("other", [], NOON)
    found = ledger.load_state("detectors")
    assert found is not None and (found.value, found.at) == ({"a": ["后"]}, NOON + MINUTE)


# Forgetting


def test_forgotten_contact_leaves_no_event_reading_or_text(store: Store) -> None:
    say(store, "c1", NOON, contact="anna")
    ingest(store, past(("customer", "hm", NOON), contact="anna"))
    store.monitor.add_readings(reading(turn.id) for turn in store.monitor.unread_turns("s2", 9))
    ids = [event.id for event in store.monitor.stream()]
    assert len(ids) == 2
    store.monitor.raise_alert(replace(ALERT, details={"messages": ids}), [notice(messages=tuple(ids))])
    store.forget_contact("anna")
    assert list(store.monitor.stream()) == [] and store.monitor.texts(ids) == {}
    assert [alert.id for alert in store.monitor.alerts()] == ["a1"]


def test_words_of_a_forgotten_contact_are_in_no_alert_notice_or_file(tmp_path: Path) -> None:
    path = tmp_path / "d.db"
    with open_store(sqlite_url(path)) as store:
        say(store, "unmistakable", NOON, contact="anna")
        store.monitor.raise_alert(
            replace(ALERT, details={"messages": ["unmistakable-m"]}), [notice(messages=("unmistakable-m",))]
        )
        store.forget_contact("anna")
    with open_store(sqlite_url(path)) as store:
        assert len(store.monitor.outbox("waiting")) == 1
    assert b"question of" not in path.read_bytes()


def test_removed_source_takes_its_readings_along(store: Store) -> None:
    ingest(store, past(("customer", "hm", NOON)))
    store.monitor.add_readings([reading("transcript:s1/17#0000")])
    store.remove_source("s1.jsonl")
    assert list(store.monitor.stream()) == []
