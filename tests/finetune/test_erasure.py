"""Who was erased leaves no words in what learning wrote to files; everybody else's stay."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.database import sqlite_url
from assistant.errors import TrainingError
from assistant.learning import transcript_ref
from assistant.records import Transcript, TranscriptTurn
from assistant.sources import SourceRecord
from assistant.store import Store, open_store
from finetune.erasure import Erased, erase_learned
from finetune.harvested import Example, Pair
from finetune.holdout import Row, read_holdout, write_holdout

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(sqlite_url(tmp_path / "deskhand.db")) as opened:
        yield opened


def talk(id: str) -> Transcript:
    turns = (TranscriptTurn("customer", f"Where is parcel {id}?"), TranscriptTurn("agent", f"Parcel {id} is at the depot."))
    return Transcript(id, turns, id, "en", f"c-{id}", True)


def ingest(store: Store, id: str, *talks: Transcript, replaces: str | None = None) -> None:
    store.add_source(SourceRecord(id, "log", "logs", id, "jsonl", NOON), transcripts=talks, replaces=replaces)


def held(folder: Path, task: str) -> list[Row]:
    return read_holdout(folder / f"{task}.jsonl", lambda row: row.ref)


def example(id: str, source: str = "s1") -> Example:
    return Example(f"Where is parcel {id}?", "parcel", transcript_ref(source, id) if id else "", "en", NOON, "person")


def pair(id: str) -> Pair:
    return Pair((("customer", f"Where is parcel {id}?"),), f"Parcel {id} is at the depot.", transcript_ref("s1", id), NOON, "en")


def page(runs: Path, version: str) -> Path:
    path = runs / "intent" / version / "run.html"
    path.parent.mkdir(parents=True)
    path.write_text("Where is parcel a?")
    (path.parent / "verdict.md").write_text("promoted")
    return path


def test_an_erased_contacts_rows_leave_every_holdout_and_all_others_stay(store: Store, tmp_path: Path) -> None:
    ingest(store, "s1", talk("a"), talk("b"))
    pairs = [pair("a"), pair("b")]
    write_holdout(tmp_path / "intent.jsonl", [example("a"), example("b"), example("")])
    write_holdout(tmp_path / "dialog.jsonl", pairs)
    assert erase_learned(store, tmp_path, tmp_path / "runs") == Erased(0, 0)
    store.forget_contact("c-a")
    assert erase_learned(store, tmp_path, tmp_path / "runs") == Erased(2, 0)
    assert [row.ref for row in held(tmp_path, "intent")] == ["transcript:s1/b", ""]
    assert [row.ref for row in held(tmp_path, "dialog")] == ["transcript:s1/b"]
    assert erase_learned(store, tmp_path, tmp_path / "runs") == Erased(0, 0)


def test_a_row_of_a_log_that_was_replaced_since_is_found_all_the_same(store: Store, tmp_path: Path) -> None:
    ingest(store, "s1", talk("a"), talk("b"))
    write_holdout(tmp_path / "intent.jsonl", [example("a"), example("b")])
    ingest(store, "s2", talk("a"), talk("b"), replaces="log")
    store.forget_contact("c-a")
    assert erase_learned(store, tmp_path, tmp_path / "runs").rows == 1
    assert [row.ref for row in held(tmp_path, "intent")] == ["transcript:s2/b"]


def test_the_page_of_every_version_that_learned_from_an_erased_contact_goes(store: Store, tmp_path: Path) -> None:
    ingest(store, "s1", talk("a"), talk("b"))
    gone, kept = page(tmp_path, "v1"), page(tmp_path, "v2")
    store.learning.record_uses("intent", "v1", ["transcript:s1/a", "transcript:s1/b"])
    store.learning.record_uses("intent", "v2", ["transcript:s1/b"])
    store.forget_contact("c-a", at=NOON)
    assert erase_learned(store, tmp_path / "holdout", tmp_path) == Erased(0, 1)
    assert not gone.exists() and kept.is_file() and (gone.parent / "verdict.md").is_file()


def test_a_holdout_that_cannot_be_read_keeps_no_page(store: Store, tmp_path: Path) -> None:
    ingest(store, "s1", talk("a"))
    gone = page(tmp_path / "runs", "v1")
    store.learning.record_uses("intent", "v1", ["transcript:s1/a"])
    (tmp_path / "intent.jsonl").write_text("{\n")
    store.forget_contact("c-a", at=NOON)
    with pytest.raises(TrainingError, match=r"intent\.jsonl:1"):
        erase_learned(store, tmp_path, tmp_path / "runs")
    assert not gone.exists()
