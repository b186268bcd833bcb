"""A new index version or champion serves from the next message on; a removed source is quoted no more."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.encoder import Encoder
from assistant.errors import DeskhandError, IndexVersionError
from retrieval.ingest import remove
from ui import wiring
from ui.live import Live

NOW = datetime(2025, 6, 2, 10, 30, tzinfo=UTC)


def point(pointer: Path, version: str) -> None:
    """Replace a pointer the way registry and index do: a new file, moved into place."""
    fresh = pointer.with_name(f".{pointer.name}-{version}")
    fresh.write_text(version)
    os.replace(fresh, pointer)


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    point(tmp_path / "current", "one")
    return tmp_path / "current"


def test_nothing_is_read_again_while_nothing_changes(pointer: Path) -> None:
    loads: list[str] = []
    live = Live([pointer, pointer.with_name("never there")], lambda: loads.append(pointer.read_text()) or len(loads))
    assert [live() for _ in range(5)] == [1] * 5 and loads == ["one"]


def test_a_replaced_pointer_is_served_from_the_next_call(pointer: Path) -> None:
    live = Live([pointer], pointer.read_text)
    assert live() == "one"
    point(pointer, "two")
    assert live() == "two"
    point(pointer, "six")  # as long as the name before it
    assert live() == "six"


def test_a_first_champion_counts_as_a_change(pointer: Path) -> None:
    champion = pointer.with_name("champion")
    live = Live([pointer, champion], lambda: champion.exists())
    assert live() is False
    point(champion, "v1")
    assert live() is True


def test_a_version_that_cannot_be_read_is_tried_again_and_the_old_one_is_not_passed_off_as_new(pointer: Path) -> None:
    def load() -> str:
        if pointer.read_text() == "bad":
            raise IndexVersionError("index version 'bad' is damaged")
        return pointer.read_text()

    live = Live([pointer], load)
    point(pointer, "bad")
    for _ in range(2):
        with pytest.raises(DeskhandError, match="damaged"):
            live()
    point(pointer, "mended")
    assert live() == "mended"


def test_a_fault_at_the_start_is_told_at_the_start(pointer: Path) -> None:
    def load() -> str:
        raise IndexVersionError("no index")

    with pytest.raises(IndexVersionError, match="no index"):
        Live([pointer], load)


def test_many_customers_at_once_load_a_new_version_once(pointer: Path) -> None:
    loads: list[str] = []

    def load() -> str:
        loads.append(pointer.read_text())
        return loads[-1]

    live = Live([pointer], load)
    point(pointer, "two")
    gate, served = threading.Barrier(8), list[str]()

    def ask() -> None:
        gate.wait()
        served.append(live())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served == ["two"] * 8 and loads == ["one", "two"]


@pytest.fixture
def running(own_home: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[wiring.Wired]:
    """An assistant that serves a home of its own."""
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.chdir(own_home)
    monkeypatch.setattr(wiring, "load_encoder", lambda settings: encoder)
    wired = wiring.build(wiring.read_settings(own_home), own_home, now=lambda: NOW)
    yield wired
    wired.close()


def renamed(running: wiring.Wired, version: str) -> None:
    """Add the intent champion to the registry once more, under another name."""
    registry = running.registry
    staged = registry.staging("intent", version)
    shutil.copytree(registry.folder("intent", registry.champion("intent") or ""), staged, dirs_exist_ok=True)
    manifest = json.loads((staged / "manifest.json").read_text())
    (staged / "manifest.json").write_text(json.dumps({**manifest, "version": version}))
    registry.add("intent", version, staged, running.encoder.sha256)


def test_a_promoted_adapter_takes_effect_between_two_turns_and_a_rollback_undoes_it(running: wiring.Wired) -> None:
    shipped = running.registry.champion("intent")
    renamed(running, "night-1")
    first = running.assistant.turn("Where is my order?")
    assert first.versions["intent"] == shipped  # added is not promoted
    running.registry.promote("intent", "night-1", running.encoder.sha256)
    second = running.assistant.turn("FW-204518", conversation_id=first.conversation_id)
    assert second.versions["intent"] == "night-1" and "FW-204518" in second.text
    running.registry.rollback("intent", running.encoder.sha256)
    third = running.assistant.turn("How long is the warranty?", conversation_id=first.conversation_id)
    assert third.versions["intent"] == shipped
    stored = running.store.turns(first.conversation_id)
    assert [turn.reply.versions["intent"] for turn in stored] == [shipped, "night-1", shipped]


def test_a_removed_source_is_answered_from_no_more_by_a_running_assistant(running: wiring.Wired) -> None:
    question = "How long is the warranty?"
    before = running.assistant.turn(question)
    source = before.evidence[0].passage.source
    assert (before.action, before.origin) == ("send", "template")
    remove(
        source,
        store=running.store,
        encoder=running.encoder,
        index_root=running.home / "index",
        now=lambda: NOW,
    )
    after = running.assistant.turn(question)
    assert after.versions["index"] != before.versions["index"]
    assert source not in {hit.passage.source for hit in after.evidence} and after.text != before.text
    assert after.reason != "failure"
    again = running.assistant.turn(question, conversation_id=before.conversation_id)  # also where it was said before
    assert source not in {hit.passage.source for hit in again.evidence}


def test_a_damaged_champion_hands_over_and_is_served_again_once_mended(
    running: wiring.Wired, caplog: pytest.LogCaptureFixture
) -> None:
    champion = running.registry.pointer("intent")
    shipped = champion.read_text()
    point(champion, "no-such-version")
    broken = running.assistant.turn("How long is the warranty?")
    assert (broken.action, broken.reason) == ("handoff", "failure")
    assert "no-such-version" not in broken.text and "no-such-version" in caplog.text
    assert running.store.turns(broken.conversation_id)[0].reply.text == broken.text
    point(champion, shipped)
    mended = running.assistant.turn("How long is the warranty?", conversation_id=broken.conversation_id)
    assert (mended.action, mended.origin) == ("send", "template")
