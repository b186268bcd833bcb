"""``schedule``: retraining at its cron times, and looks at candidates on trial, until it is stopped.

Wires settings, store and a child process for ``finetune/schedule.py``, which knows when and who. Retraining runs in a child,
``deskhand retrain``, so that its memory is given back, a fault in it ends nothing else, and it can be stopped.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from assistant.errors import DeskhandError, StoreError, TrainingError
from assistant.settings import home
from ui import terminal
from ui.child import Ended, Runner, run_child
from ui.scheduled_monitor import report_jobs, watcher
from ui.wiring import connect, make_home, open_registry, read_settings

if TYPE_CHECKING:
    from assistant.learning import Learning, TrainingRun
    from assistant.settings import Settings
    from assistant.store import Store
    from finetune.schedule import Job, Told

LOG = logging.getLogger("deskhand")
RETRAIN = (sys.executable, "-m", "ui.cli", "retrain", "--if-due", "--json")
#: A run that was cut off so often is given up; what it began is learned from anew at the next cron time.
MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """What ``adapters list`` shows of the schedule: when it comes next, who is at it, one line on each task's last run."""

    next_run: datetime | None
    holder: str | None
    verdicts: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the state for ``--json``."""
        return asdict(self)


def run_schedule(*, once: bool, as_json: bool) -> None:
    """Run jobs at their times until SIGTERM or SIGINT.

    Args:
        once: Do what is due now, a time missed meanwhile included, and leave.
        as_json: Whether to print one JSON object a line.

    Raises:
        SettingsError: If the settings are wrong.
        StoreError: If the store cannot be opened.
        TrainingError: With ``once``, if a job failed.
    """
    from finetune.schedule import Keeper

    place = home()
    settings = read_settings(place)
    store = connect(settings, make_home(place))
    stop = threading.Event()
    keeper = Keeper(
        store.learning,
        f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        now=_now,
        monotonic=time.monotonic,
        lease_s=settings.schedule.lease_s,
        stop=stop,
        tell=lambda told: _show(told, as_json=as_json),
    )
    own = settings.schedule
    jobs = [retrain_job(settings, store.learning, run_child), *report_jobs(settings, store, place, _now)]
    watch = watcher(settings, store, place) if settings.monitor.enabled else None
    try:
        with _stopping(stop):
            _announce(schedule_state(settings, store, _now()), as_json=as_json)
            if once:
                done = [keeper.look(job, at_once=True) for job in jobs]
                _check_rollouts(place, store)
                if watch is not None:
                    watch.look(_now)
                if failed := [told for told in done if told.happened in ("failed", "unreachable")]:
                    raise TrainingError("; ".join(told.why for told in failed))
                return
            threads = [
                *keeper.serve([job for job in jobs if job.cron]),
                every(own.check_rollouts_s, lambda: _check_rollouts(place, store), stop, "judge the candidates on trial"),
            ]
            if watch is not None:
                threads.append(every(lambda: watch.wait_s, partial(watch.turn, _now), stop, "watch what customers write"))
            for thread in threads:
                while thread.is_alive():
                    thread.join(1.0)  # signals are handled in between
    finally:
        if watch is not None:
            with suppress(StoreError):
                watch.close()
        store.close()


def schedule_state(settings: Settings, store: Store, now: datetime) -> ScheduleState:
    """Say when retraining comes next, who is at it, and what came of the last run of each task.

    Args:
        settings: Sections ``retrain`` and ``schedule`` count.
        store: The open store.
        now: The time, timezone-aware.

    Returns:
        The state; tasks that never ran have a line that says so.

    Raises:
        StoreError: If the store cannot be read.
    """
    from finetune.schedule import next_run

    own, learning = settings.schedule, store.learning
    lease = learning.lease("job:retrain")
    zone = ZoneInfo(own.timezone)
    return ScheduleState(
        next_run(own.retrain, own.timezone, now),
        lease.holder if lease is not None and lease.until > now else None,
        tuple(_verdict(task, learning.last_run(task), zone) for task in settings.retrain.tasks),
    )


def retrain_job(settings: Settings, learning: Learning, runner: Runner, now: Callable[[], datetime] | None = None) -> Job:
    """Make the job that retrains.

    Args:
        settings: Sections ``retrain`` and ``schedule`` count.
        learning: The store's books.
        runner: Runs the command in a child process.
        now: The clock; the system's by default.

    Returns:
        The job, named ``retrain``.
    """
    from finetune.schedule import Job, Stopped

    own, clock = settings.retrain, now or _now

    def run(stopped: Callable[[], bool]) -> str:
        ended = runner(RETRAIN, stopped, own.max_minutes * 60)
        for line in ended.err.splitlines():
            LOG.info("retrain: %s", line)
        if ended.code == 0:
            return _summary(ended.out)
        if ended.stopped:
            raise Stopped("retraining was stopped; it goes on from its last epoch when it is taken up again")
        if ended.overdue:
            why = f"took longer than retrain.max_minutes = {own.max_minutes:g} and was stopped: raise it, or lower retrain.epochs"
            for cut in _cut_short(learning, own.tasks, clock()):
                _give_up(learning, cut, why, clock())
            raise TrainingError(f"retraining {why}")
        raise TrainingError(_fault(ended))

    def cut(at: datetime) -> str | None:
        found = _cut_short(learning, own.tasks, at)
        for one in found:
            if one.attempts >= MOST_ATTEMPTS:
                _give_up(learning, one, f"was cut off {one.attempts} times; see the schedule's log for why", at)
        going = [one for one in found if one.attempts < MOST_ATTEMPTS]
        return f"{going[0].task}: the run of {going[0].started_at:%Y-%m-%d %H:%M %Z} was cut off" if going else None

    return Job("retrain", settings.schedule.retrain, run, settings.schedule.timezone, cut)


def every(seconds: float | Callable[[], float], call: Callable[[], object], stop: threading.Event, what: str) -> threading.Thread:
    """Call something again and again in a thread, whatever it raises, until told to stop.

    Args:
        seconds: Between two calls, or what tells them after each.
        call: What to call.
        stop: Ends it.
        what: What it could not do, for the log: ``judge the candidates``.

    Returns:
        The running thread.
    """

    def go() -> None:
        while not stop.is_set():
            try:
                call()
            except DeskhandError as error:
                LOG.error("could not %s: %s", what, error)
            except Exception:  # the edge of a thread: the next call may work, and nobody else would make it
                LOG.exception("could not %s", what)
            stop.wait(seconds() if callable(seconds) else seconds)

    thread = threading.Thread(target=go, name=f"deskhand: {what}")
    thread.start()
    return thread


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set ``stop``; what they did before is put back at the end."""

    def asked(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cut_short(learning: Learning, tasks: Sequence[str], at: datetime) -> list[TrainingRun]:
    """List unfinished runs that no process is at: ``retrain`` holds a lease on each task it works on."""
    found = []
    for run in learning.unfinished_runs():
        lease = learning.lease(f"retrain:{run.task}")
        if run.task in tasks and (lease is None or lease.until <= at):
            found.append(run)
    return found


def _give_up(learning: Learning, run: TrainingRun, why: str, at: datetime) -> None:
    # Where another scheduler has just entered the same, there is nothing left to do.
    with suppress(StoreError):
        learning.finish_run(run.id, "failed", at, run.version, {"why": why}, {})


def _summary(out: str) -> str:
    """Put what `retrain --json` printed into a line."""
    lines = out.strip().splitlines()
    try:
        nights = [f"{one['task']}: {one['state']}. {one['why']}" for one in json.loads(lines[-1])]
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"retraining ended well, but printed no verdict: {out.strip()[-200:]!r}") from error
    return "; ".join(nights) or "another process is retraining; nothing was done here"


def _fault(ended: Ended) -> str:
    lines = [line for line in ended.err.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(last)["error"])
    how = f"by signal {-ended.code}" if ended.code < 0 else f"with code {ended.code}"
    return f"`deskhand retrain` ended {how}: {last or 'it printed nothing'}; run it by hand to see more"


def _verdict(task: str, run: TrainingRun | None, zone: tzinfo | None) -> str:
    if run is None:
        return f"{task}: never retrained"
    why = run.verdict.get("why", "")
    outcome = run.verdict.get("outcome", run.state)
    when = (run.finished_at or run.started_at).astimezone(zone)
    return f"{task}: {outcome}{f' {run.version}' if run.version else ''} on {when:%Y-%m-%d %H:%M %Z}{f', {why}' if why else ''}"


def _check_rollouts(place: Path, store: Store) -> None:
    from ui.watch import check_rollouts

    check_rollouts(open_registry(place), store, _now())


def _announce(state: ScheduleState, *, as_json: bool) -> None:
    if as_json:
        terminal.say_json(state.as_json())
        return
    when = f"{state.next_run:%Y-%m-%d %H:%M %Z}" if state.next_run else 'never (schedule.retrain is "")'
    terminal.say(f"next retraining: {when}" + (f"; {state.holder} is at it now" if state.holder else ""))
    for line in state.verdicts:
        terminal.say(f"  {line}")


def _show(told: Told, *, as_json: bool) -> None:
    if as_json:
        terminal.say_json(asdict(told))
    else:
        terminal.say(f"{told.at:%Y-%m-%d %H:%M:%S %Z} {told.job} {told.happened}: {told.why}")


def _now() -> datetime:
    return datetime.now(UTC)
