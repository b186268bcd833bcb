"""What came in, and when: logs that grow, conversations that go on, and people's words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assistant.database import sqlite_url
from assistant.errors import TrainingError
from assistant.learning import ReviewItem
from assistant.records import Feedback, Message, Reply, Transcript, TranscriptTurn, Understanding
from assistant.sources import SourceRecord
from assistant.store import Store, open_store
from finetune.gathering import Gathered, Window, gather, read_seen, write_seen
from finetune.harvested import Example, Pair
from finetune.holdout import key_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(sqlite_url(tmp_path / "deskhand.db")) as opened:
        yield opened


def talk(id: str, **changes: object) -> Transcript:
    turns = (TranscriptTurn("customer", f"Where is parcel {id}?"), TranscriptTurn("agent", f"Parcel {id} is at the depot."))
    values = {"lang": "en", "contact": f"c-{id}", "resolved": True, **changes}
    return Transcript(id, turns, id, **values)  # type: ignore[arg-type]


def ingest(store: Store, id: str, at: datetime, *talks: Transcript, name: str = "", replaces: str | None = None) -> None:
    store.add_source(SourceRecord(id, name or id, "logs", id, "jsonl", at), transcripts=talks, replaces=replaces)


def night(store: Store, path: Path, since: datetime | None, until: datetime) -> Gathered:
    """Gather, tell what is new, and enter it into the book."""
    found = gather(store, "intent", since, until, read_seen(path))
    write_seen(path, found, since, until)
    return found.within(Window(since, until))


def ids(found: Gathered) -> list[str]:
    return [one.transcript.id for one in found.conversations]


def test_windows_begin_after_one_night_and_end_with_the_next() -> None:
    window = Window(NOON, NOON + HOUR)
    assert [window.holds(NOON + n * HOUR) for n in (0, 1, 2)] == [False, True, False] and not window.holds(None)
    assert Window(None, NOON).holds(None) and Window(None, NOON).holds(NOON - HOUR)


def test_each_night_sees_the_logs_since_the_last(store: Store, tmp_path: Path) -> None:
    book = tmp_path / "runs" / "seen.json"
    ingest(store, "s1", NOON, talk("a"))
    assert ids(night(store, book, None, NOON + HOUR)) == ["a"]
    ingest(store, "s2", NOON + 2 * HOUR, talk("b"))
    assert ids(night(store, book, NOON + HOUR, NOON + 3 * HOUR)) == ["b"]
    assert night(store, book, NOON + 3 * HOUR, NOON + 4 * HOUR).empty


def test_of_a_log_that_is_exported_anew_only_what_changed_is_new(store: Store, tmp_path: Path) -> None:
    book = tmp_path / "seen.json"
    ingest(store, "s1", NOON, talk("a"), talk("b", resolved=None), name="log")
    night(store, book, None, NOON + HOUR)
    ingest(store, "s2", NOON + 2 * HOUR, talk("a"), talk("b"), talk("c"), name="log", replaces="log")
    assert ids(night(store, book, NOON + HOUR, NOON + 3 * HOUR)) == ["b", "c"]


def test_a_log_whose_ingestion_ends_after_a_night_is_new_to_the_next(store: Store, tmp_path: Path) -> None:
    book = tmp_path / "seen.json"
    night(store, book, None, NOON + HOUR)
    ingest(store, "s1", NOON, talk("a"))
    assert ids(night(store, book, NOON + HOUR, NOON + 2 * HOUR)) == ["a"]
    book.unlink()  # without the book the time of ingestion counts
    assert gather(store, "intent", NOON + HOUR, NOON + 2 * HOUR).within(Window(NOON + HOUR, NOON + 2 * HOUR)).empty


def test_what_comes_in_while_a_night_goes_on_waits(store: Store) -> None:
    ingest(store, "s1", NOON + HOUR, talk("a"))
    assert gather(store, "intent", None, NOON).empty


def test_a_night_that_was_refused_is_left_aside(store: Store, tmp_path: Path) -> None:
    for number in range(3):
        ingest(store, f"s{number}", NOON + number * HOUR, talk(str(number)))
    found = gather(store, "intent", None, NOON + 9 * HOUR)
    assert ids(found.within(Window(None, NOON + 9 * HOUR), [Window(NOON, NOON + HOUR)])) == ["0", "2"]


def test_a_damaged_book_is_named_with_the_mend(tmp_path: Path) -> None:
    book = tmp_path / "seen.json"
    assert read_seen(book) is None
    for text in ("[]", "{", '{"soon": ["a"]}', '{"2026-05-01": 7}'):
        book.write_text(text)
        with pytest.raises(TrainingError, match=r"seen\.json: is no book.*delete it"):
            read_seen(book)


def test_peoples_words_come_with_the_conversation_they_stand_in(store: Store) -> None:
    store.start_conversation("c1", NOON, "en", "anna")
    store.record_turn(
        Message("m", "c1", "Do you mend bicycles?", NOON),
        Reply("c1", "r", "send", "sure", "No.", Understanding("en"), (), {}, 0.0),
    )
    store.add_feedback(Feedback("r", -1, "", "We do.", NOON, "repair"))
    store.learning.queue([ReviewItem("q", "intent", "hm", "en", "", 0.1, 0.9, "conversation:c1", NOON)])
    store.learning.decide("q", "repair", NOON + HOUR)
    found = gather(store, "intent", None, NOON + HOUR)
    assert [(one.ref, one.answer, one.intent) for one in found.corrections] == [("conversation:c1", "We do.", "repair")]
    assert [(one.text, one.label, one.ref) for one in found.decided] == [("hm", "repair", "conversation:c1")]
    assert found.corrected == found.refs == {"conversation:c1"} and not found.within(Window(NOON, NOON)).refs
    assert found.source_names(sorted(found.refs)) == ["live conversations"]
    assert not gather(store, "intent", None, NOON).decided and not gather(store, "dialog", None, NOON + HOUR).decided


def test_every_key_that_a_row_can_have_is_told(store: Store) -> None:
    ingest(store, "s1", NOON, talk("a"))
    found = gather(store, "intent", None, NOON)
    example = Example("where is PARCEL a", "x", "transcript:s1/a", "en", NOON, "action")
    pair = Pair((("customer", "Where is parcel a?"),), "Parcel a is at the depot.", "transcript:s1/a", NOON, "en")
    assert key_of(example) in found.keys("intent") and key_of(pair) in found.keys("dialog")
    assert found.source_names(["transcript:s1/a"]) == ["s1"]


def test_a_row_finds_its_conversation_in_the_log_that_replaced_its_own(store: Store) -> None:
    row = Example("Where is parcel a?", "x", "transcript:s1/a", "en", NOON, "action")
    ingest(store, "s1", NOON, talk("a"), name="log")
    ingest(store, "other", NOON, replace(talk("a"), turns=talk("z").turns))
    assert gather(store, "intent", None, NOON).finder()(row) == "transcript:s1/a"
    ingest(store, "s2", NOON, talk("a"), name="log", replaces="log")
    assert gather(store, "intent", None, NOON).finder()(row) == "transcript:s2/a"
    store.forget_contact("c-a")
    assert gather(store, "intent", None, NOON).finder()(row) is None
