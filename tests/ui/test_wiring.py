"""Settings and a home folder become a working assistant; secrets stay secret and homes apart."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.encoder import Encoder
from assistant.errors import DeskhandError, IndexVersionError, SettingsError, UsageError
from assistant.settings import Answer, Settings
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
