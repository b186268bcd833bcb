"""A candidate that does worse is taken out by itself and for a stated reason; trials are begun, shown and ended by command."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from assistant.adapter_files import CONFIG, HEAD, WEIGHTS, Manifest, read_manifest, write_manifest
from assistant.database import sqlite_url
from assistant.encoder import file_sha256, resolve
from assistant.errors import RegistryError, StoreError, UsageError
from assistant.records import Message, Reply, Sentiment, Understanding
from assistant.registry import Registry
from assistant.rollout import Bounds
from assistant.store import Store, open_store
from ui import adapters, rollouts, server
from ui.watch import Watch, check_rollouts

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
KEY = "encoder.layer.5.attention.self.query.lora_{}.weight"


@pytest.fixture(scope="module")
def base() -> str:
    """Checksum of the encoder that the commands find."""
    return file_sha256(resolve("all-MiniLM-L6-v2") / "model.safetensors")


@pytest.fixture
def place(tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with intent champion v1 and versions v2 and v3."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path / "home"))
    registry = Registry(tmp_path / "home" / "adapters")
    plain = Manifest("intent", "", "tiny", base, {}, ("a", "b"), {}, 0, "0", {}, {}, 1.0, "2026-01-01T00:00:00+00:00")
    for version in ("v1", "v2", "v3"):
        staged = registry.staging("intent", version)
        save_file({KEY.format("A"): torch.ones(2, 4), KEY.format("B"): torch.ones(4, 2)}, staged / WEIGHTS)
        save_file({"deep.weight": torch.ones(2, 4), "deep.bias": torch.zeros(2)}, staged / HEAD)
        (staged / CONFIG).write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 4}')
        write_manifest(staged, replace(plain, version=version))
        registry.add("intent", version, staged, base)
    registry.promote("intent", "v1", base)
    return tmp_path / "home"


@pytest.fixture
def registry(place: Path) -> Registry:
    return Registry(place / "adapters")


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    with open_store(sqlite_url(place / "deskhand.db")) as opened:
        yield opened


def answer(store: Store, version: str, n: int, handoffs: int, at: datetime = NOW + timedelta(minutes=1)) -> None:
    """Hold ``n`` conversations of one message with a version, the first ``handoffs`` of which a person gets."""
    for number in range(n):
        id = f"{version}-{at.timestamp()}-{number}"
        store.start_conversation(id, at)
        action, reason = ("handoff", "unsure_twice") if number < handoffs else ("send", "template")
        understanding = Understanding("en", sentiment=Sentiment("neutral", 0.9, 0.0))
        reply = Reply(id, f"{id}-r", action, reason, "text", understanding, (), {"index": "i", "intent": version}, 1.0)  # type: ignore[arg-type]
        store.record_turn(Message(f"{id}-m", id, "hello", at), reply)


def test_a_worse_candidate_is_withdrawn_with_its_figures_and_said_so(
    registry: Registry, store: Store, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry.offer("intent", "v2", 0.1, NOW, base, Bounds())
    answer(store, "v1", 120, 12)
    answer(store, "v2", 60, 30)
    (look,) = check_rollouts(registry, store, NOW + timedelta(hours=1))
    assert look.withdrawn and look.candidate.version == "v2" and registry.candidate("intent") is None
    (told,) = registry.withdrawals("intent")
    assert told.reason == "handoff in 50.0 % of 60 conversations, with v1 in 10.0 % of 120"
    assert told.figures["candidate"]["rates"]["handoff"]["events"] == 30 and told.at == "2026-03-01T10:00:00+00:00"
    assert "v2 is withdrawn: handoff in 50.0 %" in caplog.text
    assert check_rollouts(registry, store, NOW) == [] and registry.champion("intent") == "v1"


def test_a_candidate_as_good_as_the_champion_stays(registry: Registry, store: Store, base: str) -> None:
    registry.offer("intent", "v2", 0.1, NOW, base, Bounds())
    answer(store, "v1", 120, 12)
    answer(store, "v2", 60, 7)
    (look,) = check_rollouts(registry, store, NOW)
    assert not look.withdrawn and look.judgement.reason == "within bounds" and registry.candidate("intent") is not None


def test_what_was_answered_before_the_trial_does_not_count(registry: Registry, store: Store, base: str) -> None:
    answer(store, "v1", 60, 0, NOW - timedelta(days=1))
    answer(store, "v2", 60, 60, NOW - timedelta(days=1))
    registry.offer("intent", "v2", 0.1, NOW, base, Bounds())
    (look,) = check_rollouts(registry, store, NOW)
    assert look.judgement.candidate.conversations == 0 and not look.withdrawn


def test_a_pointer_that_cannot_be_read_is_told_and_the_next_task_is_judged(
    registry: Registry, store: Store, base: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry.offer("intent", "v2", 0.1, NOW, base, Bounds())
    (registry.root / "sentiment").mkdir()
    (registry.root / "sentiment" / "candidate").write_text("{")
    assert [look.task for look in check_rollouts(registry, store, NOW)] == ["intent"]
    assert "adapters withdraw sentiment" in caplog.text


# The watch


class Ticks(threading.Event):
    """A clock that lets so many waits run out at once, and then waits until somebody sets it."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left
        self.waited: list[float | None] = []
        self.idle = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        if self.left:
            self.left -= 1
            return False
        self.idle.set()
        return super().wait(20)


def test_the_watch_looks_every_minute_until_it_is_stopped() -> None:
    looks, clock = list[int](), Ticks(5)
    watch = Watch(lambda: looks.append(1), wake=clock)
    watch.start()
    watch.start()  # twice is once
    assert clock.idle.wait(20)
    watch.stop()
    assert len(looks) == 5 and set(clock.waited) == {60.0}
    watch.stop()


def test_the_watch_looks_after_fifty_replies_without_waiting_for_the_minute() -> None:
    looked, clock = threading.Event(), Ticks(0)
    watch = Watch(looked.set, wake=clock)
    watch.start()
    assert clock.idle.wait(20)
    for _ in range(49):
        watch.replied()
    assert not clock.is_set()
    watch.replied()
    assert looked.wait(20)
    watch.stop()


def test_a_fault_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    faults: list[Exception] = [StoreError("the disk is full"), RuntimeError("unforeseen")]
    looks, clock = list[int](), Ticks(3)

    def look() -> None:
        looks.append(1)
        if faults:
            raise faults.pop(0)

    watch = Watch(look, wake=clock)
    with caplog.at_level(logging.ERROR):
        watch.start()
        assert clock.idle.wait(20)
        watch.stop()
    assert len(looks) == 3 and "the disk is full" in caplog.text and "unforeseen" in caplog.text


def test_serving_starts_the_watch_and_stops_it_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Noted:
        def start(self) -> None:
            told.append("start")

        def stop(self) -> None:
            told.append("stop")

    class Wired:
        watch = Noted()
        settings = type("S", (), {"serve": type("T", (), {"tokens": ("t",)})})

    def run(*_: object, **__: object) -> None:
        told.append("run")
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "create_app", lambda wired: None)
    monkeypatch.setattr(server, "Background", lambda wired, now: Noted())
    monkeypatch.setattr(server.uvicorn, "run", run)
    with pytest.raises(KeyboardInterrupt):
        server.serve(Wired(), "127.0.0.1", 1)  # type: ignore[arg-type]
    assert told == ["start", "start", "run", "stop", "stop"]


# The commands


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_trial_is_begun_shown_and_ended(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rollouts.run_try("intent", "v2", share=0.25, as_json=True)
    begun = printed(capsys)
    assert (begun["champion"], begun["candidate"]["share"]) == ("v1", 0.25)
    later = datetime.now(UTC) + timedelta(minutes=1)
    answer(store, "v1", 80, 8, later)
    answer(store, "v2", 20, 5, later)
    rollouts.run_status(None, as_json=True)
    (trial,) = printed(capsys)["trials"]
    assert trial["version"] == "v2" and not trial["withdraw"]
    assert trial["arms"]["candidate"]["rates"]["handoff"] == {"events": 5, "share": 0.25, "low": 0.1119, "high": 0.4687}
    rollouts.run_status("intent", as_json=False)
    shown = capsys.readouterr().out
    assert "v2 answers 25%" in shown and "25.0 % [11.2, 46.9]" in shown and "+5 points" in shown
    rollouts.run_withdraw("intent", as_json=True)
    assert printed(capsys) == {"task": "intent", "champion": "v1", "withdrawn": "v2", "reason": "withdrawn by hand"}
    rollouts.run_status("intent", as_json=True)
    after = printed(capsys)
    assert after["trials"] == [] and after["withdrawn"][0]["figures"]["candidate"]["conversations"] == 20
    rollouts.run_status(None, as_json=False)
    assert "v2 was withdrawn" in capsys.readouterr().out


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_wrong_usage(place: Path, share: float) -> None:
    with pytest.raises(UsageError, match="share"):
        rollouts.run_try("intent", "v2", share=share, as_json=True)


def test_ending_a_trial_that_is_none_says_how_to_begin_one(place: Path) -> None:
    with pytest.raises(RegistryError, match="adapters try intent"):
        rollouts.run_withdraw("intent", as_json=True)
    with pytest.raises(UsageError, match="'reply' cannot be tried"):
        rollouts.run_try("reply", "v2", as_json=True)


def test_a_damaged_pointer_is_mended_by_withdrawing(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    pointer = registry.root / "intent" / "candidate"
    pointer.write_text("{")
    with pytest.raises(RegistryError, match="adapters withdraw intent"):
        rollouts.run_status("intent", as_json=True)
    rollouts.run_withdraw("intent", as_json=False)
    assert not pointer.exists() and "v1 answers all" in capsys.readouterr().out


def test_the_list_says_that_a_damaged_champion_cannot_serve(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    adapters.run_list(as_json=False)
    assert "cannot serve" not in capsys.readouterr().err
    (registry.folder("intent", "v1") / HEAD).write_bytes(b"cut short")
    adapters.run_list(as_json=False)
    assert "intent: v1 cannot serve" in capsys.readouterr().err
    adapters.run_list(as_json=True)
    assert "damaged" in json.loads(capsys.readouterr().out)["faults"]["intent"]


def test_who_promotes_a_version_that_knows_fewer_labels_is_told(
    registry: Registry, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    staged = registry.staging("intent", "narrow")
    shutil.copytree(registry.folder("intent", "v1"), staged, dirs_exist_ok=True)
    manifest = read_manifest(staged)
    write_manifest(staged, replace(manifest, version="narrow", labels=("a", "c")))
    registry.add("intent", "narrow", staged, base)
    adapters.run_promote("intent", "narrow", as_json=False)
    assert "knows none of 1 labels that v1 knows: b" in capsys.readouterr().err
    adapters.run_promote("intent", "v2", as_json=True)
    assert "warning" not in capsys.readouterr().err
