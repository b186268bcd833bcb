"""A new index version or champion serves from the next message on; a removed source is quoted no more."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from assistant.encoder import Encoder
from assistant.errors import DeskhandError, IndexVersionError
from assistant.rollout import Bounds, Candidate, arm
from retrieval.ingest import remove
from ui import wiring
from ui.live import Arms, Live

NOW = datetime(2025, 6, 2, 10, 30, tzinfo=UTC)
Part = TypeVar("Part")


def point(pointer: Path, version: str) -> None:
    """Replace a pointer the way registry and index do: a new file, moved into place."""
    fresh = pointer.with_name(f".{pointer.name}-{version}")
    fresh.write_text(version)
    os.replace(fresh, pointer)


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    point(tmp_path / "current", "one")
    return tmp_path / "current"


def everyone(part: Part) -> Callable[[str], Part]:
    """The same part for every conversation."""
    return lambda conversation_id: part


def test_nothing_is_read_again_while_nothing_changes(pointer: Path) -> None:
    loads: list[str] = []
    live = Live([pointer, pointer.with_name("never there")], lambda: everyone(loads.append(pointer.read_text()) or len(loads)))
    assert [live() for _ in range(5)] == [1] * 5 and loads == ["one"]


def test_a_replaced_pointer_is_served_from_the_next_call(pointer: Path) -> None:
    live = Live([pointer], lambda: everyone(pointer.read_text()))
    assert live() == "one"
    point(pointer, "two")
    assert live("a conversation") == "two"
    point(pointer, "six")  # as long as the name before it
    assert live() == "six"


def test_a_first_champion_counts_as_a_change(pointer: Path) -> None:
    champion = pointer.with_name("champion")
    live = Live([pointer, champion], lambda: everyone(champion.exists()))
    assert live() is False
    point(champion, "v1")
    assert live() is True


def test_a_version_that_cannot_be_read_is_tried_again_and_the_old_one_is_not_passed_off_as_new(pointer: Path) -> None:
    def load() -> Callable[[str], str]:
        if pointer.read_text() == "bad":
            raise IndexVersionError("index version 'bad' is damaged")
        return everyone(pointer.read_text())

    live = Live([pointer], load)
    point(pointer, "bad")
    for _ in range(2):
        with pytest.raises(DeskhandError, match="damaged"):
            live()
    point(pointer, "mended")
    assert live() == "mended"


def test_a_fault_at_the_start_is_told_at_the_start(pointer: Path) -> None:
    def load() -> Callable[[str], str]:
        raise IndexVersionError("no index")

    with pytest.raises(IndexVersionError, match="no index"):
        Live([pointer], load)


def test_many_customers_at_once_load_a_new_version_once(pointer: Path) -> None:
    loads: list[str] = []

    def load() -> Callable[[str], str]:
        loads.append(pointer.read_text())
        return everyone(loads[-1])

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


def test_arms_are_chosen_by_conversation_and_each_task_draws_apart() -> None:
    tried = {task: Candidate("v2", 0.5, NOW) for task in ("intent", "slots")}
    sets = [frozenset(chosen) for chosen in ((), ("intent",), ("slots",), ("intent", "slots"))]
    arms = Arms({chosen: "+".join(sorted(chosen)) or "champions" for chosen in sets}, tried)
    ids = [f"c{number}" for number in range(400)]
    first = [arms(one) for one in ids]
    assert first == [arms(one) for one in ids] and arms("") == "champions"
    assert all(70 < first.count(arms.parts[chosen]) < 130 for chosen in sets)


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


def test_a_damaged_champion_is_stood_in_for_by_the_one_before_it_aloud(
    running: wiring.Wired, caplog: pytest.LogCaptureFixture
) -> None:
    shipped = running.registry.champion("intent")
    renamed(running, "night-1")
    running.registry.promote("intent", "night-1", running.encoder.sha256)
    assert running.assistant.turn("How long is the warranty?").versions["intent"] == "night-1"
    head = running.registry.folder("intent", "night-1") / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1])
    started = wiring.build(running.settings, running.home, now=lambda: NOW)  # a restart
    reply = started.assistant.turn("How long is the warranty?")
    assert (reply.versions["intent"], reply.action) == (shipped, "send")
    assert any("night-1 cannot serve" in note and "rollback intent" in note for note in started.notes)
    started.close()
    point(running.registry.pointer("sentiment"), running.registry.champion("sentiment") or "")  # something else changed
    assert running.assistant.turn("How long is the warranty?").versions["intent"] == shipped
    assert "night-1 cannot serve" in caplog.text


def conversations(tried: bool, n: int = 3) -> list[str]:
    """Ids that a share of one half gives to the candidate night-1, or does not."""
    ids = (f"talk-{number}" for number in itertools.count())
    return list(itertools.islice((one for one in ids if arm(one, "intent", "night-1", 0.5) is tried), n))


def test_a_candidate_answers_its_share_and_keeps_its_conversations_until_it_is_withdrawn(running: wiring.Wired) -> None:
    shipped = running.registry.champion("intent")
    renamed(running, "night-1")
    ids = {True: conversations(True), False: conversations(False)}
    for one in ids[True] + ids[False]:
        running.store.start_conversation(one, NOW)

    def versions(tried: bool) -> set[str]:
        return {running.assistant.turn("Where is my order?", conversation_id=one).versions["intent"] for one in ids[tried]}

    assert versions(True) == versions(False) == {shipped}
    running.registry.offer("intent", "night-1", 0.5, NOW, running.encoder.sha256, Bounds())
    for _ in range(2):
        assert (versions(True), versions(False)) == ({"night-1"}, {shipped})
    assert running.assistant.versions["intent"] == shipped  # what /readyz shows
    running.registry.withdraw("intent", "enough", NOW)
    assert versions(True) == versions(False) == {shipped}


def test_a_candidate_that_was_damaged_is_not_tried_and_the_champion_answers(
    running: wiring.Wired, caplog: pytest.LogCaptureFixture
) -> None:
    shipped = running.registry.champion("intent")
    renamed(running, "night-1")
    running.registry.offer("intent", "night-1", 1.0, NOW, running.encoder.sha256, Bounds())
    (running.registry.folder("intent", "night-1") / "head.safetensors").unlink()
    reply = running.assistant.turn("How long is the warranty?")
    assert (reply.versions["intent"], reply.action) == (shipped, "send")
    assert "the candidate cannot be tried" in caplog.text


def test_both_arms_share_index_and_encoder(running: wiring.Wired) -> None:
    renamed(running, "night-1")
    running.registry.offer("intent", "night-1", 0.5, NOW, running.encoder.sha256, Bounds())
    arms, _ = wiring.split(running.settings, running.home, running.encoder, running.registry)
    ours, theirs = arms.parts[frozenset()], arms.parts[frozenset({"intent"})]
    assert ours.retriever is theirs.retriever and ours.templates is theirs.templates
    assert ours.understander.encoder is theirs.understander.encoder
    again, _ = wiring.split(running.settings, running.home, running.encoder, running.registry, before=arms)
    assert again.parts[frozenset()].retriever is ours.retriever  # an index that did not change is not read again
