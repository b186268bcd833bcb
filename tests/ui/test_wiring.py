"""Settings and a home folder become a working assistant; secrets stay secret and homes apart."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.encoder import Encoder
from assistant.errors import DeskhandError, IndexVersionError, RegistryError, SettingsError, UsageError
from assistant.settings import Answer, Settings
from tests.ui.versions import add_random
from ui import demo, terminal, wiring
from ui.sample import Sample


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Encoder) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.delenv("DESKHAND_HOME", raising=False)
    monkeypatch.setattr(wiring, "load_encoder", lambda settings: encoder)
    monkeypatch.setattr(demo, "load_encoder", lambda settings: encoder)


def test_the_sample_home_answers_from_its_own_templates(own_home: Path) -> None:
    wired = wiring.build(wiring.read_settings(own_home), own_home, now=lambda: datetime(2025, 5, 1, tzinfo=UTC))
    reply = wired.assistant.turn("How long is the warranty?")
    stored = wired.store.message_detail(reply.message_id)
    wired.close()
    assert wired.settings.company.name == "Fernwick"
    assert reply.versions["index"] and reply.evidence
    assert stored is not None and stored["message"]["at"].startswith("2025-05-01")


def test_the_salt_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first = wiring.salt(tmp_path)
    assert wiring.salt(tmp_path) == first and len(first) == 64
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["salt"]
    other = tmp_path / "other"
    other.mkdir()
    assert wiring.salt(other) != first


def test_processes_that_start_together_agree_on_the_salt(tmp_path: Path) -> None:
    found: list[str] = []
    gate = threading.Barrier(8)

    def start() -> None:
        gate.wait()
        found.append(wiring.salt(tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


@pytest.mark.parametrize("content", [b"", b"short", "ü".encode() * 40])
def test_a_damaged_salt_is_refused_rather_than_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "salt").write_bytes(content)
    with pytest.raises(SettingsError, match="salt"):
        wiring.salt(tmp_path)


def test_a_home_without_an_index_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(IndexVersionError, match="deskhand ingest"):
        wiring.build(Settings(), tmp_path / "empty")


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="DESKHAND_HOME"):
        wiring.make_home(tmp_path / "file" / "home")


def test_the_settings_beside_the_user_win_over_the_homes_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "home"
    place.mkdir()
    (place / "deskhand.toml").write_text('[company]\nname = "Home"\n')
    assert wiring.read_settings(place).company.name == "Home"
    (tmp_path / "deskhand.toml").write_text('[company]\nname = "Here"\n')
    assert wiring.read_settings(place).company.name == "Here"
    (tmp_path / "named.toml").write_text('[company]\nname = "Named"\n')
    monkeypatch.setenv("DESKHAND_CONFIG", str(tmp_path / "named.toml"))
    assert wiring.read_settings(place).company.name == "Named"


def test_a_threshold_comes_from_the_settings_then_from_training_then_from_a_careful_figure() -> None:
    settings = Settings(answer=Answer(min_confidence=0.9))
    chosen = wiring.choose_thresholds(settings, {"min_confidence": 0.4, "max_out_of_scope": 0.2})
    assert (chosen.min_confidence, chosen.max_out_of_scope) == (0.9, 0.2)
    assert chosen.min_evidence == wiring.UNTRAINED["min_evidence"]
    assert wiring.choose_thresholds(Settings(answer=Answer(min_confidence=0.0)), {"min_confidence": 0.4}).min_confidence == 0.0


def test_the_demo_set_up_twice_reads_nothing_twice(own_home: Path, small_sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("ingested again")

    monkeypatch.setattr(demo.intake, "take_in", refuse)
    settings = demo.set_up(own_home, small_sample, terminal.Steps(quiet=True))
    assert settings.company.languages == ("en", "zh")


@pytest.mark.parametrize("lost", ["demo-done", "index/current", "products.json"])
def test_a_demo_that_was_killed_goes_on(own_home: Path, small_sample: Sample, lost: str) -> None:
    (own_home / lost).unlink()
    (own_home / "demo-done").unlink(missing_ok=True)
    settings = demo.set_up(own_home, small_sample, terminal.Steps(quiet=True))
    wired = wiring.build(settings, own_home)
    assert wired.assistant.turn("How long is the warranty?").evidence
    wired.close()


def test_the_demo_never_mixes_with_a_company_of_the_users_own(tmp_path: Path, small_sample: Sample, own_home: Path) -> None:
    named = tmp_path / "named"
    named.mkdir()
    (named / "deskhand.toml").write_text('[company]\nname = "Acme"\n')
    with pytest.raises(UsageError, match="another company"):
        demo.set_up(named, small_sample, terminal.Steps(quiet=True))
    (own_home / "deskhand.toml").unlink()  # the store with its sources is now somebody's
    with pytest.raises(UsageError, match="of your own"):
        demo.set_up(own_home, small_sample, terminal.Steps(quiet=True))


def test_a_sample_with_a_missing_file_is_named(small_sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(DeskhandError, match="reinstall"):
        demo.set_up(tmp_path / "home", replace(small_sample, root=tmp_path / "nowhere"), terminal.Steps(quiet=True))


def test_a_taken_port_is_refused_and_zero_finds_a_free_one(closed_port: int) -> None:
    with pytest.raises(UsageError, match="--port 0"):
        demo.free_port("127.0.0.1", closed_port)
    assert demo.free_port("127.0.0.1", 0) > 0


def test_every_reply_is_counted_for_the_watch_and_looking_at_the_versions_is_not(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wired = wiring.build(wiring.read_settings(own_home), own_home)
    counted: list[int] = []
    assert wired.watch is not None
    monkeypatch.setattr(wired.watch, "replied", lambda: counted.append(1))
    wired.assistant.turn("How long is the warranty?")
    assert wired.assistant.versions
    wired.close()
    assert counted == [1]


def test_a_version_that_is_named_answers_in_place_of_the_champion_and_nothing_stands_in_for_it(
    own_home: Path, encoder: Encoder
) -> None:
    settings, registry = wiring.read_settings(own_home), wiring.open_registry(own_home)
    shipped = registry.champion("intent")
    add_random(registry, "other", encoder.sha256, 1)
    serving, notes = wiring.serve(settings, own_home, encoder, registry, {"intent": "other"})
    assert serving.versions["intent"] == "other" and notes == ()
    again, _ = wiring.with_versions(serving, settings, own_home, registry, {})
    assert again.versions["intent"] == shipped and again.retriever is serving.retriever
    (registry.folder("intent", "other") / "head.safetensors").unlink()
    with pytest.raises(RegistryError, match="missing"):
        wiring.serve(settings, own_home, encoder, registry, {"intent": "other"})


def test_two_damaged_champions_in_a_row_are_both_named(own_home: Path, encoder: Encoder) -> None:
    registry = wiring.open_registry(own_home)
    shipped = registry.champion("intent")
    add_random(registry, "other", encoder.sha256, 1)
    registry.promote("intent", "other", encoder.sha256)
    told: list[str] = []
    (registry.folder("intent", "other") / "head.safetensors").unlink()
    assert wiring.champions(registry, encoder.sha256, told.append)["intent"].manifest.version == shipped
    assert len(told) == 1 and "other cannot serve" in told[0]
    (registry.folder("intent", shipped or "") / "head.safetensors").unlink()
    with pytest.raises(RegistryError, match=r"other.*nor can the champion before it stand in.*missing"):
        wiring.champions(registry, encoder.sha256, told.append)
