"""``deskhand retrain``: one night from the command line, and never two processes at one task."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assistant.encoder import Encoder
from assistant.errors import StoreError, TrainingError, UsageError
from assistant.settings import Settings
from assistant.store import Store
from finetune.retrain import Overtaken
from tests.finetune.night_fixtures import quick as quick
from tests.finetune.nights import OPEN, SETTINGS, Company, company, talks
from ui import retraining
from ui.retraining import Lease, run_retrain, wire

NAME = "retrain:intent"


@pytest.fixture
def shop(tmp_path: Path, encoder: Encoder, quick: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    """A company's home with its first log, small trainings, and a gate that lets them pass."""
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retraining, "load_encoder", lambda settings: encoder)
    monkeypatch.setattr(retraining, "settings_of", lambda task, wishes: SETTINGS)
    monkeypatch.setattr("finetune.promote.Bounds", lambda **_: OPEN)
    with company(tmp_path / "home", encoder) as opened:
        opened.at = datetime.now(UTC) - timedelta(days=1)
        opened.ingest("log.jsonl", talks(0, 14))
        yield opened


def retrain(capsys: pytest.CaptureFixture[str], **changes: Any) -> Any:
    values: dict[str, Any] = {"task": None, "if_due": False, "force": False, "as_json": True, **changes}
    run_retrain(**values)
    return json.loads(capsys.readouterr().out) if values["as_json"] else capsys.readouterr().out


def test_a_night_from_the_command_line_promotes_and_a_second_one_finds_nothing(
    shop: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    (night,) = retrain(capsys)
    assert (night["task"], night["state"], night["version"]) == ("intent", "promoted", shop.champion())
    assert night["counts"]["new"] == night["counts"]["examples"] > 80
    assert all(check["passed"] for check in night["verdict"]["checks"])
    assert shop.store.learning.lease(NAME) is None
    (again,) = retrain(capsys)
    assert again["state"] == "nothing" and "no new conversations" in again["why"] and again["verdict"] is None
    assert (shop.place.folder("intent", night["version"]) / "verdict.md").is_file()


def test_people_read_the_verdict_as_a_table(shop: Company, capsys: pytest.CaptureFixture[str]) -> None:
    shown = retrain(capsys, as_json=False)
    assert "intent: promoted. passed every check" in shown and "holdout rows" in shown and "new 8" in shown


def test_a_task_that_is_not_retrained_is_refused(shop: Company, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="'slots' is not retrained"):
        retrain(capsys, task="slots")


def test_while_another_process_is_at_it_this_one_leaves(shop: Company, capsys: pytest.CaptureFixture[str]) -> None:
    assert shop.store.learning.take_lease(NAME, "elsewhere:1:abc", datetime.now(UTC), 600)
    assert retrain(capsys, if_due=True) == []
    with pytest.raises(UsageError, match="retrained by another process"):
        retrain(capsys)
    held = shop.store.learning.lease(NAME)
    assert held is not None and held.holder == "elsewhere:1:abc" and not shop.store.learning.runs("intent")


def test_a_task_that_fails_does_not_cost_the_other_its_night(
    shop: Company, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESKHAND_RETRAIN__TASKS", '["intent", "dialog"]')
    shop.place.holdout.mkdir()
    (shop.place.holdout / "intent.jsonl").write_text("{\n")
    with pytest.raises(TrainingError, match=r"intent\.jsonl:1"):
        retrain(capsys)
    (night,) = json.loads(capsys.readouterr().out)
    assert (night["task"], night["state"]) == ("dialog", "promoted")
    assert [run.state for run in shop.store.learning.runs("intent")] == ["failed"]
    assert shop.store.learning.lease(NAME) is None


def test_settings_decide_how_a_night_goes(shop: Company, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    settings = Settings.model_validate(
        {"retrain": {"replay": 0.4, "epochs": 3, "try_share": 0.2, "floors": {"refund": 0.9}, "max_drop": 0.01}}
    )
    place = shop.place.runs.parent
    _, means, plan = wire(settings, place, shop.store, "intent", encoder, print)
    assert (plan.settings.replay, plan.settings.epochs, plan.try_share) == (0.4, 3, 0.2)
    assert plan.bounds.floors == {"refund": 0.9} and plan.bounds.max_drop == 0.01
    other = Settings.model_validate({"retrain": {"method": "ia3"}})  # takes a pass of its own over every message
    assert wire(other, place, shop.store, "intent", encoder, print)[2].bounds.max_latency_ratio > plan.bounds.max_latency_ratio
    assert means.evidence is None  # nothing is indexed yet
    assert means.redact(means.redact("I am a@b.de")) == means.redact("I am a@b.de") != "I am a@b.de"
    _, _, dialog = wire(settings, place, shop.store, "dialog", encoder, print)
    assert dialog.try_share == 0.2 and not dialog.bounds.floors and dialog.settings.batch_size == 64


def test_evidence_is_what_articles_and_templates_speak_of(own_home: Path, encoder: Encoder) -> None:
    from ui.wiring import connect, read_settings

    settings = read_settings(own_home)
    with connect(settings, own_home) as store:
        _, means, _ = wire(settings, own_home, store, "intent", encoder, print)
        template = next(one for one in store.iter_templates() if one.lang == "en")
    assert means.evidence is not None
    found = means.evidence([template.title or template.text, "qwertz uiop"])
    assert found == [template.intent, None]


def lease(store: Store, seconds: float = 60.0) -> Lease:
    return Lease(store.learning, NAME, seconds)


def dead_pid() -> int:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_the_lease_of_a_killed_process_of_this_machine_is_not_waited_for(shop: Company) -> None:
    host, now = socket.gethostname(), datetime.now(UTC)
    for holder, taken in (
        (f"{host}:{dead_pid()}:ab12", True),
        (f"{host}:{os.getpid()}:ab12", False),
        (f"other-{host}:{dead_pid()}:ab12", False),
        ("scheduler", False),
        (f"{host}:{2**70}:ab12", False),
    ):
        assert shop.store.learning.take_lease(NAME, holder, now, 600)
        mine = lease(shop.store)
        assert mine.take() is taken
        with mine:
            pass
        shop.store.learning.release_lease(NAME, holder)


def test_a_lease_is_renewed_while_the_night_lasts_and_given_back(shop: Company) -> None:
    asked = threading.Event()
    real = shop.store.learning.take_lease
    calls: list[bool] = []

    def take(*rest: Any) -> bool:
        calls.append(real(*rest))
        if len(calls) == 3:
            asked.set()
        if len(calls) == 2:
            raise StoreError("the database is busy")
        return calls[-1]

    learning = SimpleNamespace(take_lease=take, lease=shop.store.learning.lease, release_lease=shop.store.learning.release_lease)
    mine = Lease(learning, NAME, 0.05)  # type: ignore[arg-type]
    assert mine.take()
    with mine:
        assert asked.wait(20)
        mine.check()
    assert shop.store.learning.lease(NAME) is None


def test_who_loses_the_lease_stops_at_the_next_step(shop: Company) -> None:
    mine = lease(shop.store, 0.05)
    with mine:
        # Another process has it: this one was suspended for longer than it lasts.
        assert shop.store.learning.take_lease(NAME, "elsewhere:1:abc", datetime.now(UTC) + timedelta(hours=1), 600)
        mine._thread.join(20)
        with pytest.raises(Overtaken, match="another process"):
            mine.check()
    held = shop.store.learning.lease(NAME)
    assert held is not None and held.holder == "elsewhere:1:abc"
