"""`deskhand schedule`: retraining in a child that can be stopped, and what people are told of it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assistant.database import sqlite_url
from assistant.errors import StoreError, TrainingError
from assistant.learning import TrainingRun
from assistant.settings import Settings
from assistant.store import Store, open_store
from finetune.schedule import Job, Stopped
from ui import child as child_module
from ui import scheduling
from ui.child import Ended, run_child
from ui.scheduling import RETRAIN, retrain_job, run_schedule, schedule_state

NOON = datetime(2025, 6, 2, 12, tzinfo=UTC)
NIGHT = NOON - timedelta(hours=9)
RUN = TrainingRun("r1", "intent", "running", NIGHT, until=NIGHT, version="v7")
PRINTED = json.dumps([{"task": "intent", "state": "promoted", "why": "passed every check", "version": "v7"}])


def never() -> bool:
    return False


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(sqlite_url(tmp_path / "d.db")) as opened:
        yield opened


def job_of(store: Store, ended: Ended, settings: Settings | None = None) -> Job:
    def runner(words: Sequence[str], stopped: Callable[[], bool], limit_s: float) -> Ended:
        assert tuple(words) == RETRAIN and limit_s == 7200
        return ended

    return retrain_job(settings or Settings(), store.learning, runner, lambda: NOON)


# The job


def test_child_that_ends_well_is_told_in_a_line(store: Store) -> None:
    assert job_of(store, Ended(0, f"noise\n{PRINTED}\n", "")).run(never) == "intent: promoted. passed every check"
    assert "another process" in job_of(store, Ended(0, "[]\n", "")).run(never)
    with pytest.raises(TrainingError, match="printed no verdict: 'oh'"):
        job_of(store, Ended(0, "oh", "")).run(never)


def test_child_that_fails_is_told_by_its_own_words_or_its_signal(store: Store) -> None:
    with pytest.raises(TrainingError, match=r"^the disk is full$"):
        job_of(store, Ended(1, "", 'warning\n{"error": "the disk is full"}\n')).run(never)
    with pytest.raises(TrainingError, match="ended by signal 9: it printed nothing; run it by hand"):
        job_of(store, Ended(-9, "", "")).run(never)


def test_stopped_child_is_left_to_be_taken_up_again(store: Store) -> None:
    store.learning.begin_run(RUN)
    job = job_of(store, Ended(1, "", "Aborted!", stopped=True))
    with pytest.raises(Stopped):
        job.run(never)
    assert job.cut(NOON) == "intent: the run of 2025-06-02 03:00 UTC was cut off"


def test_child_that_takes_too_long_is_not_taken_up_again_and_the_mend_is_told(store: Store) -> None:
    store.learning.begin_run(RUN)
    job = job_of(store, Ended(1, "", "Aborted!", overdue=True))
    with pytest.raises(TrainingError, match=r"longer than retrain\.max_minutes = 120 and was stopped: raise it"):
        job.run(never)
    done = store.learning.last_run("intent")
    assert done is not None and done.state == "failed" and "max_minutes" in done.verdict["why"]
    assert job.cut(NOON) is None


def test_run_that_a_process_is_at_is_not_cut_off_until_its_lease_has_run_out(store: Store) -> None:
    job = job_of(store, Ended(0, PRINTED, ""))
    store.learning.begin_run(RUN)
    store.learning.take_lease("retrain:intent", "child", NOON, 900)
    assert job.cut(NOON + timedelta(seconds=899)) is None
    assert job.cut(NOON + timedelta(seconds=900)) is not None
    store.learning.begin_run(replace(RUN, id="r2", task="dialog"))
    store.learning.finish_run("r1", "nothing", NOON, None, {}, {})
    assert job.cut(NOON + timedelta(seconds=900)) is None  # dialog is not retrained here


def test_run_that_was_cut_off_too_often_is_given_up(store: Store) -> None:
    store.learning.begin_run(RUN)
    job = job_of(store, Ended(0, PRINTED, ""))
    for _ in range(2):
        assert job.cut(NOON) is not None
        store.learning.add_attempt("r1")
    assert job.cut(NOON) is None
    done = store.learning.last_run("intent")
    assert done is not None and done.state == "failed" and "cut off 3 times" in done.verdict["why"]


# The child


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_child_gives_back_what_it_printed() -> None:
    ended = run_child(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), never, 60)
    assert ended == Ended(3, "out\n", "err\n")


def test_child_is_interrupted_so_that_it_can_clean_up(tmp_path: Path) -> None:
    up = tmp_path / "up"
    code = f"""
import pathlib, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in its background deaf to it
try:
    pathlib.Path({str(up)!r}).touch()
    signal.pause()
finally:
    print('cleaned')
"""
    ended = run_child(python(code), up.exists, 60)
    assert ended.out == "cleaned\n" and ended.stopped and not ended.overdue and ended.code != 0


def test_child_that_does_not_listen_is_killed_at_its_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(child_module, "GRACE_S", 0.2)
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: signal.pause()"
    ended = run_child(python(code), never, 0.5)
    assert ended.code in (-signal.SIGKILL, -signal.SIGINT) and ended.overdue and not ended.stopped


def test_program_that_is_not_there_is_told() -> None:
    with pytest.raises(TrainingError, match="/no/such cannot be started"):
        run_child(("/no/such",), never, 1)


# What people see


def test_state_tells_next_time_holder_and_last_verdicts(store: Store) -> None:
    settings = Settings(
        retrain={"tasks": ("intent", "dialog")},  # type: ignore[arg-type]
        schedule={"timezone": "Europe/Berlin"},  # type: ignore[arg-type]
    )
    state = schedule_state(settings, store, NOON)
    assert state.next_run is not None and state.next_run.isoformat() == "2025-06-03T03:00:00+02:00"
    assert state.holder is None and state.verdicts == ("intent: never retrained", "dialog: never retrained")
    store.learning.begin_run(RUN)
    store.learning.finish_run("r1", "refused", NIGHT, "v7", {"why": "score drop: -0.100", "outcome": "refused"}, {})
    store.learning.take_lease("job:retrain", "host:1:ab", NOON, 60)
    state = schedule_state(settings, store, NOON)
    assert state.holder == "host:1:ab"
    assert state.verdicts[0] == "intent: refused v7 on 2025-06-02 05:00 CEST, score drop: -0.100"
    assert schedule_state(settings, store, NOON + timedelta(minutes=2)).holder is None


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty home, and a list of what was run in it; retraining ends well."""
    for name in list(os.environ):
        if name.startswith("DESKHAND_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path / "home"))
    ran: list[str] = []

    def runner(words: Sequence[str], stopped: Callable[[], bool], limit_s: float) -> Ended:
        ran.append("retrain")
        return Ended(0, PRINTED, "")

    monkeypatch.setattr(scheduling, "run_child", runner)
    monkeypatch.setattr(scheduling, "_check_rollouts", lambda place, store: ran.append("rollouts"))
    return ran


def test_once_does_what_is_due_and_leaves(house: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run_schedule(once=True, as_json=False)
    assert house == ["retrain", "rollouts"]
    printed = capsys.readouterr().out
    assert "next retraining: " in printed and "intent: never retrained" in printed
    assert "retrain ran: intent: promoted. passed every check" in printed
    run_schedule(once=True, as_json=True)
    assert house == ["retrain", "rollouts", "rollouts"]
    (line,) = capsys.readouterr().out.splitlines()
    assert set(json.loads(line)) == {"next_run", "holder", "verdicts"}


def test_once_fails_where_retraining_fails(house: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "run_child", lambda *asked: Ended(1, "", '{"error": "no disk"}'))
    with pytest.raises(TrainingError, match="no disk"):
        run_schedule(once=True, as_json=True)
    assert house == ["rollouts"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_schedule_cleanly(
    number: signal.Signals, house: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scheduling, "_check_rollouts", lambda place, store: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    run_schedule(once=False, as_json=True)
    assert signal.getsignal(number) == before
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("deskhand-")] == []


def test_rollouts_are_looked_at_again_whatever_went_wrong(caplog: pytest.LogCaptureFixture) -> None:
    stop, calls = threading.Event(), []

    def call() -> None:
        calls.append(1)
        if len(calls) == 3:
            stop.set()
        raise (StoreError("out of reach"), ZeroDivisionError("oh"), StoreError("still"))[len(calls) - 1]

    scheduling.every(0.001, call, stop, "look").join(30)
    assert len(calls) == 3 and "out of reach" in caplog.text and "ZeroDivisionError" in caplog.text
