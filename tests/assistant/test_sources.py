"""Ingested files: whole or not at all, streamed, replaced and removed in one go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from assistant.errors import StoreError, TranscriptError
from assistant.records import Article, Template, Transcript, TranscriptTurn
from assistant.sources import SourceRecord
from assistant.store import Store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
LOGS = SourceRecord("s1", "logs.jsonl", "logs", "aa", "jsonl", NOON)
TRANSCRIPTS = (
    Transcript(
        "17",
        (TranscriptTurn("customer", "Where is it?", NOON), TranscriptTurn("agent", "On its way."), TranscriptTurn("bot", "😀")),
        "logs.jsonl:1",
        "en",
        "anna",
        True,
        5,
        "where_is_order",
        NOON,
        "chat",
    ),
    Transcript("2", (TranscriptTurn("customer", "退款"),), "logs.jsonl:2"),
    Transcript("none said", (), "logs.jsonl:3", resolved=False, rating=-1),
)
ARTICLES = (
    Article("b", "Delivery", "# Delivery\n\nTwo days.", "help.md:1", "en", "delivery", "https://x.test/d"),
    Article("a", "", "", "help.md:9"),
)
TEMPLATES = (
    Template("refund", "en", "Your {order_number} is refunded.", "Which order?", ("order_number", "email"), "Refund"),
    Template("refund", "zh", "好的"),
)
NOTHING = {"transcripts": 0, "turns": 0, "articles": 0, "templates": 0}


def many(count: int) -> Iterator[Transcript]:
    for number in range(count):
        yield Transcript(
            f"t{number}", (TranscriptTurn("customer", f"question {number}"), TranscriptTurn("agent", "answer")), f"x:{number}"
        )


def test_everything_comes_back_as_it_was_given_in_its_order(store: Store) -> None:
    counts = store.add_source(LOGS, TRANSCRIPTS, ARTICLES, TEMPLATES, replaces=None)
    assert counts == {"transcripts": 3, "turns": 4, "articles": 2, "templates": 2}
    assert tuple(store.iter_transcripts()) == TRANSCRIPTS
    assert tuple(store.iter_articles()) == ARTICLES
    assert tuple(store.iter_templates()) == TEMPLATES
    assert store.sources() == [replace(LOGS, counts=counts)]
    assert store.source_by_sha("aa") == replace(LOGS, counts=counts)
    assert store.source_by_sha("bb") is None


def test_more_rows_than_one_batch_come_back_in_order(store: Store) -> None:
    store.add_source(LOGS, many(2_500))
    assert [t.id for t in store.iter_transcripts()] == [f"t{n}" for n in range(2_500)]
    assert all(len(t.turns) == 2 for t in store.iter_transcripts())


def test_two_sources_may_use_the_same_ids_and_are_read_oldest_first(store: Store) -> None:
    other = SourceRecord("s0", "other", "logs", "bb", "csv", NOON + timedelta(days=1))
    store.add_source(other, TRANSCRIPTS[1:2], ARTICLES)
    store.add_source(LOGS, TRANSCRIPTS, ARTICLES, TEMPLATES)
    assert [s.name for s in store.sources()] == ["logs.jsonl", "other"]
    assert tuple(store.iter_transcripts()) == TRANSCRIPTS + TRANSCRIPTS[1:2]
    assert tuple(store.iter_transcripts("s0")) == TRANSCRIPTS[1:2]
    assert tuple(store.iter_articles("s1")) == ARTICLES
    assert tuple(store.iter_templates("s0")) == ()


def test_same_file_twice_changes_nothing(store: Store) -> None:
    store.add_source(LOGS, TRANSCRIPTS)
    before = store.sources()
    for again in (LOGS, replace(LOGS, id="s2"), replace(LOGS, id="s2", name="copy.jsonl"), replace(LOGS, id="s2", sha256="bb")):
        with pytest.raises(StoreError, match=r"in the store already, as logs.jsonl"):
            store.add_source(again, TRANSCRIPTS)
    assert store.sources() == before
    assert tuple(store.iter_transcripts()) == TRANSCRIPTS


def test_changed_file_takes_the_place_of_the_old(store: Store) -> None:
    store.add_source(LOGS, TRANSCRIPTS, ARTICLES, TEMPLATES)
    store.add_source(replace(LOGS, id="s2", sha256="bb"), TRANSCRIPTS[:1], replaces="logs.jsonl")
    assert [s.sha256 for s in store.sources()] == ["bb"]
    assert tuple(store.iter_transcripts()) == TRANSCRIPTS[:1]
    assert list(store.iter_articles()) == list(store.iter_templates()) == []


def test_removed_source_is_gone_with_all_that_came_from_it(store: Store) -> None:
    store.add_source(LOGS, TRANSCRIPTS, ARTICLES, TEMPLATES)
    assert store.remove_source("logs.jsonl")
    assert not store.remove_source("logs.jsonl")
    assert [
        list(rows) for rows in (store.sources(), store.iter_transcripts(), store.iter_articles(), store.iter_templates())
    ] == [[]] * 4
    assert store.add_source(LOGS, (), (), ()) == NOTHING


def test_reader_that_fails_half_way_leaves_the_old_state(store: Store) -> None:
    store.add_source(LOGS, TRANSCRIPTS)
    before = store.sources()

    def broken() -> Iterator[Transcript]:
        yield from many(2_100)
        raise TranscriptError("logs.jsonl:2101: not JSON")

    with pytest.raises(TranscriptError, match=r"logs.jsonl:2101"):
        store.add_source(replace(LOGS, id="s2", sha256="bb"), broken(), replaces="logs.jsonl")
    assert store.sources() == before
    assert tuple(store.iter_transcripts()) == TRANSCRIPTS


def test_repeated_id_is_named_with_both_places_and_nothing_is_kept(store: Store) -> None:
    twice = [*many(2_100), Transcript("t5", (), "x:9999")]
    with pytest.raises(StoreError, match=r"x:9999: id 't5' stands already at x:5"):
        store.add_source(LOGS, twice)
    assert store.sources() == []
    assert list(store.iter_transcripts()) == []


def test_values_no_engine_takes_are_named_with_their_place(store: Store) -> None:
    with pytest.raises(StoreError, match=r"a:1: rating"):
        store.add_source(LOGS, [Transcript("1", (), "a:1", rating=10**30)])
    with pytest.raises(StoreError, match=r"a:1: time .* no time zone"):
        store.add_source(LOGS, [Transcript("1", (), "a:1", started_at=datetime(2025, 1, 1))])
    assert store.sources() == []


def test_hostile_text_in_files(store: Store) -> None:
    texts = (
        "a\x00b",
        "\ud83d",
        "\ud83d\ude00",
        "\u200b\u202e",
        "x" * 100_000,
        "'; DROP TABLE sources; --",
        "line\nbreak\u2028\r\n",
    )
    said = tuple(TranscriptTurn("customer", text) for text in texts)
    store.add_source(
        LOGS, [Transcript("t\x00", said, "a:1")], [Article("a", texts[0], texts[4], "b:1")], [Template("i", "en", texts[1])]
    )
    (back,) = store.iter_transcripts()
    assert back.id == "t"
    assert [t.text for t in back.turns] == ["ab", "\ufffd", "😀", *texts[3:]]


def test_reading_keeps_its_view_while_the_source_is_removed(store: Store) -> None:
    store.add_source(LOGS, many(5_000))
    reading = store.iter_transcripts()
    first = next(reading)
    assert store.remove_source("logs.jsonl")
    assert [first.id, *(t.id for t in reading)] == [f"t{n}" for n in range(5_000)]
    assert list(store.iter_transcripts()) == []


def test_turns_are_recorded_while_a_file_is_being_read(store: Store) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[Transcript]:
        yield from many(10)
        reached.set()
        assert go_on.wait(30)

    ingest = threading.Thread(target=lambda: store.add_source(LOGS, slow()))
    ingest.start()
    assert reached.wait(30)
    store.start_conversation("c1", NOON)  # would wait for ever behind an open transaction
    go_on.set()
    ingest.join(30)
    assert len(store.sources()) == 1


KILLED = """
import os, signal, sys
from dataclasses import replace
from datetime import UTC, datetime
import sqlalchemy as sa
from assistant.records import Transcript, TranscriptTurn
from assistant.sources import SourceRecord
from assistant.store import open_store

url, when = sys.argv[1:]
store = open_store(url)
seen = 0

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def count(connection, cursor, statement, parameters, context, executemany):
    global seen
    if "INTO transcript_turns" in statement:
        seen += 1
        if seen == 2 and when == "writing":
            kill()

@sa.event.listens_for(sa.Engine, "commit")
def committed(connection):
    if seen and when == "committing":
        kill()

def transcripts():
    for number in range(3000):
        yield Transcript(f"n{number}", (TranscriptTurn("customer", "new"),), "x:1")
        if number == 2500 and when == "reading":
            kill()

new = SourceRecord("s2", "logs.jsonl", "logs", "bb", "jsonl", datetime(2025, 3, 2, tzinfo=UTC))
store.add_source(new, transcripts(), replaces="logs.jsonl")
"""


@pytest.mark.parametrize("when", ["reading", "writing", "committing"])
def test_killed_process_leaves_the_old_state(store: Store, store_url: str, when: str) -> None:
    store.add_source(LOGS, TRANSCRIPTS, ARTICLES, TEMPLATES)
    before = store.sources()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, store_url, when], env=environment, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert store.sources() == before
    assert tuple(store.iter_transcripts()) == TRANSCRIPTS
    assert tuple(store.iter_articles()) == ARTICLES
    store.add_source(replace(LOGS, id="s3", sha256="cc"), many(3), replaces="logs.jsonl")
    assert len(list(store.iter_transcripts())) == 3
