"""Live conversations: what was stored comes back the same, on both engines, whatever a customer writes."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from assistant.errors import StoreError
from assistant.records import (
    Feedback,
    Hit,
    IntentGuess,
    Message,
    Passage,
    Reply,
    Sentiment,
    Transcript,
    TranscriptTurn,
    Turn,
    Understanding,
)
from assistant.sources import SourceRecord
from assistant.store import Conversation, Store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
HOSTILE = {
    "empty": "",
    "emoji": "😀👩‍👩‍👧‍👦🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "zero width": "re\u200bfund\u200d\ufeff",
    "right to left": "\u202eمرحبا שלום",
    "chinese": "我的包裹在哪里？",
    "quotes": "'; DROP TABLE messages; -- \" % %s :id \\",
    "markup": "<script>alert(1)</script>",
    "long": "長い" * 50_000,
}


def turn(number: int, conversation: str = "c1", **reply: Any) -> tuple[Message, Reply]:
    message = Message(
        f"{conversation}-m{number}", conversation, f"question {number}", NOON + timedelta(minutes=number), {"order": "FW-1"}
    )
    understanding = Understanding(
        language="en",
        intents=(IntentGuess("where_is_order", 0.91), IntentGuess("refund", 0.05)),
        out_of_scope=0.02,
        sentiment=Sentiment("negative", 0.8, -0.7),
        slots={"order_number": "FW-1"},
        versions={"intent": "v3"},
    )
    values: dict[str, Any] = {
        "action": "send",
        "reason": "sure",
        "text": f"answer {number}",
        "understanding": understanding,
        "evidence": (
            Hit(Passage("p1", "article", "Delivery", "Two days.", "", "help.md"), 0.8, 0.7, 0.9),
            Hit(Passage("p2", "reply", "", "It is on its way.", "", "logs.jsonl"), 0.5, 0.4, 0.6),
        ),
        "versions": {"index": "i7", "intent": "v3"},
        "latency_ms": 12.5,
        "thresholds": {"min_confidence": 0.6},
        "slots": {"order_number": "FW-1"},
        "stages_ms": {"understand": 4.5, "retrieve": 2.25},
        "origin": "template",
    }
    return message, Reply(conversation, f"{conversation}-r{number}", **{**values, **reply})


def test_turn_comes_back_as_it_was_recorded(store: Store) -> None:
    store.start_conversation("c1", NOON, "en", "anna", "chat")
    message, reply = turn(0)
    store.record_turn(message, reply)
    assert store.turns("c1", 5) == [Turn(message, reply)]


def test_bare_reply_comes_back_too(store: Store) -> None:
    store.start_conversation("c1", NOON)
    message, reply = turn(0, understanding=Understanding("und"), evidence=(), versions={}, thresholds={}, slots={}, stages_ms={})
    store.record_turn(message, reply)
    assert store.turns("c1") == [Turn(message, reply)]


def test_last_turns_come_oldest_first(store: Store) -> None:
    store.start_conversation("c1", NOON)
    for number in range(5):
        store.record_turn(*turn(number))
    assert [t.message.text for t in store.turns("c1", 2)] == ["question 3", "question 4"]
    assert len(store.turns("c1", 99)) == 5
    assert store.turns("c1", 0) == store.turns("c1", -1) == []


def test_numpy_numbers_are_stored_as_numbers(store: Store) -> None:
    store.start_conversation("c1", NOON)
    hit = Hit(Passage("p1", "article", "t", "x", "", "s"), np.float32(0.5), np.float32(0.25), np.float32(0.125))
    understanding = Understanding(
        "en", (IntentGuess("a", np.float32(0.5)),), np.float32(0.5), Sentiment("neutral", np.float32(0.5), np.float32(0))
    )
    message, reply = turn(
        0, evidence=(hit,), understanding=understanding, thresholds={"t": np.float32(0.5)}, latency_ms=np.float32(2)
    )
    store.record_turn(message, reply)
    back = store.turns("c1")[0].reply
    assert back == reply
    assert type(back.evidence[0].score) is float


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_comes_back_unchanged(store: Store, text: str) -> None:
    store.start_conversation("c1", NOON, contact=text[:200])
    message, reply = turn(
        0, text=text, reason=text, slots={text: text}, evidence=(Hit(Passage("p", "reply", text, text, "", "s"), 1.0),)
    )
    message = replace(message, text=text)
    store.record_turn(message, reply)
    store.add_feedback(Feedback(reply.message_id, -1, text, text, NOON))
    assert store.turns("c1") == [Turn(message, reply)]
    assert store.feedback(reply.message_id) == Feedback(reply.message_id, -1, text, text, NOON)


@pytest.mark.parametrize(
    ("written", "kept"),
    [("a\x00b", "ab"), ("\x00", ""), ("half \ud83d pair", "half \ufffd pair"), ("\udc00", "\ufffd"), ("\ud83d\ude00", "😀")],
)
def test_what_no_database_takes_is_mended_at_the_door(store: Store, written: str, kept: str) -> None:
    store.start_conversation("c1", NOON, contact=written)
    message, reply = turn(0, text=written, slots={"k" + written: written}, versions={"x": written})
    store.record_turn(replace(message, text=written), reply)
    back = store.turns("c1")[0]
    assert (back.message.text, back.reply.text, back.reply.slots, back.reply.versions) == (
        kept,
        kept,
        {"k" + kept: kept},
        {"x": kept},
    )
    assert store.forget_contact(written) == 1


def test_ids_with_nul_find_their_rows(store: Store) -> None:
    store.start_conversation("c\x001", NOON)
    store.record_turn(*turn(0, conversation="c\x001"))
    assert len(store.turns("c\x001")) == 1
    assert store.message_detail("c\x001-m0") is not None


def test_times_are_utc_out_whatever_zone_went_in(store: Store) -> None:
    east = datetime(2025, 3, 1, 20, 0, 0, 123456, tzinfo=timezone(timedelta(hours=8)))
    store.start_conversation("c1", east)
    found = store.conversation("c1")
    assert found is not None
    assert found.created_at == east
    assert found.created_at.tzinfo is UTC


def test_time_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="no time zone"):
        store.start_conversation("c1", datetime(2025, 3, 1))
    assert store.conversation("c1") is None


def test_conversation_changes_hands(store: Store) -> None:
    store.start_conversation("c1", NOON, "zh", "anna", "api")
    assert store.conversation("c1") == Conversation("c1", NOON, "zh", "anna", "api", "bot")
    store.set_state("c1", "person")
    assert store.conversation("c1") == Conversation("c1", NOON, "zh", "anna", "api", "person")
    with pytest.raises(StoreError, match="'robot' is none of bot, person, closed"):
        store.set_state("c1", "robot")  # type: ignore[arg-type]


def test_unknown_ids_are_nothing_or_an_error_that_names_them(store: Store) -> None:
    assert store.conversation("nobody") is None
    assert store.turns("nobody") == []
    assert store.message_detail("nobody") is None
    assert store.feedback("nobody") is None
    assert store.forget_contact("nobody") == 0
    for attempt in (
        lambda: store.set_state("nobody", "closed"),
        lambda: store.record_turn(*turn(0, conversation="nobody")),
        lambda: store.add_feedback(Feedback("nobody", 1)),
    ):
        with pytest.raises(StoreError, match="nobody"):
            attempt()


def test_taken_ids_are_refused_and_change_nothing(store: Store) -> None:
    store.start_conversation("c1", NOON)
    with pytest.raises(StoreError, match="exists already"):
        store.start_conversation("c1", NOON)
    message, reply = turn(0)
    store.record_turn(message, reply)
    with pytest.raises(StoreError):
        store.record_turn(replace(message, id="other"), reply)
    assert store.message_detail("other") is None
    with pytest.raises(StoreError, match="its reply of"):
        store.record_turn(replace(message, conversation_id="c2"), reply)
    assert store.turns("c1") == [Turn(message, reply)]


def test_explain_tells_the_same_by_either_id(store: Store) -> None:
    store.start_conversation("c1", NOON, "en", "anna", "chat")
    message, reply = turn(0)
    store.record_turn(message, reply)
    store.add_feedback(Feedback(reply.message_id, 1, "good", at=NOON))
    told = store.message_detail(message.id)
    assert told is not None
    assert told == store.message_detail(reply.message_id)
    assert told["conversation"]["contact"] == "anna"
    assert told["message"]["text"] == "question 0"
    assert told["message"]["at"] == "2025-03-01T12:00:00+00:00"
    assert told["message"]["understanding"]["intents"][0] == {"name": "where_is_order", "confidence": 0.91}
    assert told["reply"]["at"] == "2025-03-01T12:00:00.012500+00:00"
    assert told["reply"]["versions"] == {"index": "i7", "intent": "v3"}
    assert told["reply"]["stages_ms"] == {"understand": 4.5, "retrieve": 2.25}
    assert [(e["rank"], e["passage_id"], e["source"]) for e in told["evidence"]] == [
        (0, "p1", "help.md"),
        (1, "p2", "logs.jsonl"),
    ]
    assert told["feedback"]["rating"] == 1
    json.dumps(told)


def test_later_feedback_replaces_the_earlier(store: Store) -> None:
    store.start_conversation("c1", NOON)
    message, reply = turn(0)
    store.record_turn(message, reply)
    store.add_feedback(Feedback(reply.message_id, 1))
    assert store.feedback(reply.message_id) == Feedback(reply.message_id, 1)
    later = Feedback(reply.message_id, -1, "wrong order", "It is FW-2.", NOON, "refund")
    store.add_feedback(later)
    assert store.feedback(reply.message_id) == later
    told = store.message_detail(reply.message_id)
    assert told is not None
    assert told["feedback"]["intent"] == "refund"
    with pytest.raises(StoreError, match="customer's own"):
        store.add_feedback(Feedback(message.id, 1))


def test_forgotten_contact_leaves_no_trace_and_others_stay(store: Store) -> None:
    for conversation, contact in (("c1", "anna"), ("c2", "anna"), ("c3", "ben")):
        store.start_conversation(conversation, NOON, contact=contact)
        store.record_turn(*turn(0, conversation))
        store.add_feedback(Feedback(f"{conversation}-r0", 1))
    said = (TranscriptTurn("customer", "hello"),)
    past = [Transcript("t1", said, "a:1", contact="anna"), Transcript("t2", said, "a:2", contact="ben")]
    store.add_source(SourceRecord("s", "a", "logs", "00", "jsonl", NOON), past)
    assert store.forget_contact("anna") == 3
    assert store.conversation("c1") is store.message_detail("c2-m0") is store.feedback("c1-r0") is None
    assert [t.id for t in store.iter_transcripts()] == ["t2"]
    assert len(store.turns("c3")) == 1
    assert store.feedback("c3-r0") is not None
    assert store.forget_contact("anna") == 0


def test_threads_write_one_conversation_while_others_read(store: Store) -> None:
    store.start_conversation("c1", NOON)
    faults: list[BaseException] = []
    done = threading.Event()

    def write(start: int) -> None:
        try:
            for number in range(start, start + 30):
                store.record_turn(*turn(number))
        except BaseException as fault:
            faults.append(fault)

    def read() -> None:
        try:
            while not done.is_set():
                for found in store.turns("c1", 4):
                    assert len(found.reply.evidence) == 2
        except BaseException as fault:
            faults.append(fault)

    writers = [threading.Thread(target=write, args=(start,)) for start in (0, 100)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join(60)
    done.set()
    for thread in readers:
        thread.join(60)
    assert faults == []
    assert sorted(t.message.id for t in store.turns("c1", 99)) == sorted(f"c1-m{n}" for s in (0, 100) for n in range(s, s + 30))
