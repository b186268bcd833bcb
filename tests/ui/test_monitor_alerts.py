"""``monitor look`` as a user calls it: what it says while it reads, and that a machine is told the result alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from assistant.database import sqlite_url
from assistant.monitor.events import Alert, Signal
from assistant.settings import Settings
from assistant.store import open_store
from tests.ui.test_monitoring import Reader, ingest
from ui import wiring
from ui.monitor_alerts import run_alerts, run_look


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with past conversations that nobody has read, and an adapter at hand that reads without a model."""
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path))
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    store = open_store(sqlite_url(tmp_path / "deskhand.db"))
    ingest(store, 20)
    reader = Reader()
    reader.mood_thresholds = {}  # type: ignore[attr-defined]
    parts = SimpleNamespace(settings=Settings(), store=store, serving=lambda: SimpleNamespace(understander=reader))
    parts.close = store.close
    monkeypatch.setattr(wiring, "build", lambda settings, place: parts)
    return tmp_path


def test_a_look_says_how_many_past_messages_are_read_and_of_how_many(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_look(as_json=False)
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("reading past messages: ")]
    assert lines[0] == "reading past messages: 8 of 20" and lines[-1] == "reading past messages: 20 of 20"
    assert "20 past messages read" in printed.out


def test_a_machine_is_told_the_result_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_look(as_json=True)
    printed = capsys.readouterr()
    assert printed.err == "" and json.loads(printed.out)["read"] == 20


def test_alerts_that_one_look_opened_stand_in_the_order_in_which_they_began(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    looked = datetime(2026, 5, 1, tzinfo=UTC)
    with open_store(sqlite_url(home / "deskhand.db")) as store:
        for topic, days in (("b", 30), ("a", 90), ("c", 2)):
            signal = Signal("number", topic, "en", looked, looked - timedelta(days=days), 12, 3.5, 20, 0.4, 3.4)
            store.monitor.raise_alert(Alert(f"alert_{topic}", topic, "en", signal, "open", looked))
    run_alerts(state=None, as_json=True)
    assert [one["topic"] for one in json.loads(capsys.readouterr().out)] == ["c", "b", "a"]
