"""The doctor names what is missing, with the mend, and changes nothing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from assistant.settings import Company, Encoder, Settings, Store
from ui import cli, doctor
from ui.wiring import read_settings


def _by_name(checks: list[doctor.Check]) -> dict[str, doctor.Check]:
    return {check.name: check for check in checks}


def test_a_new_machine_is_healthy_and_left_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "home"
    checks = doctor.examine(Settings(), place)
    assert doctor.healthy(checks)
    found = _by_name(checks)
    assert {
        "python",
        "torch",
        "bfloat16",
        "encoder",
        "faiss",
        "home",
        "disk",
        "sqlite",
        "store",
        "index",
        "languages",
        "browser",
    } <= set(found)
    assert found["store"].state == found["index"].state == "warn" and "deskhand demo" in found["index"].mend
    assert not place.exists()


def test_everything_that_is_not_ok_comes_with_a_mend(tmp_path: Path) -> None:
    for check in doctor.examine(Settings(company=Company(languages=("en", "fi"))), tmp_path):
        assert check.detail
        assert check.state == "ok" or check.mend or check.name == "bfloat16", check


def test_the_sample_home_is_healthy(sample_home: Path) -> None:
    checks = doctor.examine(read_settings(sample_home), sample_home)
    assert doctor.healthy(checks), checks
    found = _by_name(checks)
    assert found["index"].state == "ok" and "passages" in found["index"].detail
    assert found["store"].state == "ok" and found["adapter intent"].state == "ok"


def test_a_damaged_index_is_named(own_home: Path) -> None:
    version = (own_home / "index" / "current").read_text().strip()
    file = own_home / "index" / version / "vectors.faiss"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    check = _by_name(doctor.examine(Settings(), own_home))["index"]
    assert check.state == "missing" and "vectors.faiss" in check.detail


def test_a_damaged_adapter_is_named_with_the_way_back(own_home: Path) -> None:
    (file,) = (own_home / "adapters" / "intent").glob("*/head.safetensors")
    file.write_bytes(b"nothing")
    checks = doctor.examine(Settings(), own_home)
    check = _by_name(checks)["adapter intent"]
    assert check.state == "missing" and "rollback" in check.mend and not doctor.healthy(checks)


def test_a_store_of_something_else_or_of_a_newer_deskhand_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "deskhand.db"
    path.write_bytes(b"this is no database, it is a note" * 100)
    assert _by_name(doctor.examine(Settings(), tmp_path))["store"].state == "missing"
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE deskhand_revision (version_num TEXT)")
        connection.execute("INSERT INTO deskhand_revision VALUES ('9999')")
    connection.close()
    check = _by_name(doctor.examine(Settings(), tmp_path))["store"]
    assert check.state == "missing" and "newer" in check.detail


def test_a_postgresql_that_does_not_answer_is_missing_and_its_password_is_not_shown(tmp_path: Path, closed_port: int) -> None:
    url = "postgresql://someone:secret-word@127.0.0.1:1/deskhand"
    check = _by_name(doctor.examine(Settings(store=Store(url=url)), tmp_path))["store"]
    assert check.state == "missing" and "secret-word" not in check.detail


def test_an_encoder_that_is_not_there_is_missing_and_the_rest_is_still_examined(tmp_path: Path) -> None:
    checks = doctor.examine(Settings(encoder=Encoder(model=str(tmp_path / "nothing"))), tmp_path)
    found = _by_name(checks)
    assert found["encoder"].state == "missing" and not doctor.healthy(checks)
    assert found["browser"].state in ("ok", "warn")


def test_the_command_leaves_with_1_when_something_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    with pytest.raises(SystemExit) as left:
        cli.main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert left.value.code in (0, None) and report["ok"] and len(report["checks"]) > 10
    monkeypatch.setenv("DESKHAND_ENCODER__MODEL", str(tmp_path / "nothing"))
    with pytest.raises(SystemExit) as left:
        cli.main(["doctor"])
    assert left.value.code == 1
    assert "missing encoder" in capsys.readouterr().out
