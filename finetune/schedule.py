"""Runs jobs at their cron times: each time once, in one of however many schedulers share a store.

Knows jobs as callables; what they do is ``ui/scheduling.py``'s. Each scheduler looks every so often what is due. Two rows of
``leases`` decide for each job:

- ``job:NAME``: who runs it. Renewed while it runs, given back at the end; one that ran out belongs to a process that died.
- ``fired:NAME``: the last time that was handed out, as a lease that begins at this time and lasts a second. So each time is
  had once, none before it is had again, and no clock is asked.

The times come from ``cron_times.py``. APScheduler's loop is not used: it sleeps until a wall-clock time, so that a clock set
back by an hour silences it for an hour, and it remembers in one process only what ran.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from assistant.errors import DeskhandError, StoreError
from finetune.cron_times import last_run
from finetune.cron_times import next_run as next_run

if TYPE_CHECKING:
    from assistant.leases import Lease

LOG = logging.getLogger("deskhand")
#: The second for which a time that was handed out is leased; cron's times are a minute apart.
_HANDED_OUT_S = 1.0
#: A time handed out so far ahead of the clock was handed out by a wrong clock.
_WRONG_CLOCK = timedelta(days=1)

Happened = Literal["idle", "begun", "ran", "failed", "skipped", "stopped", "lost", "unreachable"]


class Stopped(DeskhandError):
    """A job ended early because it was asked to; somebody takes it up again."""


class Leases(Protocol):
    """What a keeper needs of ``Learning``."""

    def take_lease(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        """Take or renew a lease."""

    def release_lease(self, name: str, holder: str) -> bool:
        """Give a lease back."""

    def lease(self, name: str) -> Lease | None:
        """Find a lease."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be done at times.

    Attributes:
        name: Short and stable; the leases are named after it.
        cron: Five fields; empty for never.
        run: Does it and says in a line what came of it. Is given a question, whether it has to stop, to ask now and then; it
            raises ``Stopped`` if it did so.
        timezone: The zone of ``cron``.
        cut: Says what was cut off and waits to be taken up again, or nothing; asked with the time.
    """

    name: str
    cron: str
    run: Callable[[Callable[[], bool]], str]
    timezone: str = "UTC"
    cut: Callable[[datetime], str | None] = lambda now: None


@dataclass(frozen=True, slots=True)
class Told:
    """What one look came to; ``firing`` is the cron time that was due, ``None`` for a job that was taken up again."""

    job: str
    happened: Happened
    why: str
    at: datetime
    firing: datetime | None = None


class Keeper:
    """One scheduler: looks what is due, and runs it if no other does."""

    def __init__(
        self,
        leases: Leases,
        holder: str,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        lease_s: float,
        stop: threading.Event,
        tell: Callable[[Told], None] = lambda told: None,
    ) -> None:
        """Keep what is given; times before now are not due, unless the store knows an earlier one.

        Args:
            leases: The store's.
            holder: Who this is, unlike any other process: host, process, something random.
            now: The clock, timezone-aware.
            monotonic: A clock that is never set, in seconds.
            lease_s: How long a job stays with a process that died.
            stop: Set when this scheduler shall end; running jobs are asked to stop.
            tell: Called with what happened; the same is told once, and that nothing was due never.
        """
        self._leases = leases
        self._holder = holder
        self._now = now
        self._monotonic = monotonic
        self._lease_s = lease_s
        self._stop = stop
        self._tell = tell
        self._since = now()
        self._seen: dict[str, datetime] = {}
        self._said: dict[str, tuple[Happened, str, datetime | None]] = {}

    def look(self, job: Job, *, at_once: bool = False) -> Told:
        """Do what is due of one job; never raises, for the next look may find things mended.

        Args:
            job: The job.
            at_once: Whether its last time is due although the store knows of none, as ``--once`` means it.

        Returns:
            What happened.
        """
        try:
            told = self._look(job, at_once=at_once)
        except StoreError as error:
            told = Told(job.name, "unreachable", f"{error}; tried again at the next look", self._now())
        except Exception as error:  # the edge of a process that runs for months
            LOG.exception("job %s", job.name)
            told = Told(job.name, "failed", f"{type(error).__name__}: {error}", self._now())
        said = (told.happened, told.why, told.firing)
        if told.happened != "idle" and said != self._said.get(job.name):
            self._say(told)
        self._said[job.name] = said
        return told

    def pause_s(self, job: Job) -> float:
        """Return how long to wait before the next look: half a lease, or less if the job's time comes before.

        Short waits are what makes a clock that is set, or a machine that slept, no matter.
        """
        now, most = self._now(), self._lease_s / 2
        coming = next_run(job.cron, job.timezone, now)
        return most if coming is None else min(most, max((coming - now).total_seconds(), 0.0) + 0.01)

    def serve(self, jobs: Sequence[Job]) -> list[threading.Thread]:
        """Look after jobs until ``stop`` is set, each in a thread of its own, so that a long one holds up no other.

        Args:
            jobs: The jobs.

        Returns:
            The running threads, to be joined.
        """
        threads = [threading.Thread(target=self._mind, args=(job,), name=f"deskhand-{job.name}") for job in jobs]
        for thread in threads:
            thread.start()
        return threads

    def _mind(self, job: Job) -> None:
        while not self._stop.is_set():
            self.look(job)
            self._stop.wait(self.pause_s(job))

    def _look(self, job: Job, *, at_once: bool) -> Told:
        now, row = self._now(), f"job:{job.name}"
        fired = self._handed_out(job, now)
        last = last_run(job.cron, job.timezone, now)
        firing = last if last is not None and self._due(last, fired, now, at_once) else None
        before = self._leases.lease(row)
        died = before is not None and before.until <= now
        if firing is None and not died and job.cut(now) is None:
            return self._nothing(job, last, fired, now)
        asked = self._monotonic()
        if not self._leases.take_lease(row, self._holder, now, self._lease_s):
            other = self._leases.lease(row)
            return Told(job.name, "skipped", f"{other.holder if other else 'another scheduler'} runs it", now, firing)
        try:
            why = self._reason(job, firing, fired, before if died else None, now)
        except BaseException:
            self._give_back(row)
            raise
        if why is None:
            self._give_back(row)
            return Told(job.name, "idle", "another scheduler ran it just now", now, firing)
        self._say(Told(job.name, "begun", why, now, firing))
        return self._run(job, _Held(self._leases, row, self._holder, self._lease_s, self._now, self._monotonic, asked), firing)

    def _handed_out(self, job: Job, now: datetime) -> Lease | None:
        fired = self._leases.lease(f"fired:{job.name}")
        if fired is not None and fired.until - now > _WRONG_CLOCK:
            LOG.warning("job %s: %s ran it by a clock that showed %s; that is forgotten", job.name, fired.holder, fired.until)
            self._leases.release_lease(fired.name, fired.holder)
            return None
        return fired

    def _due(self, last: datetime, fired: Lease | None, now: datetime, at_once: bool) -> bool:
        self._since = min(self._since, now)  # a clock that was ahead when this began does not silence it
        return last >= fired.until if fired is not None else at_once or last > self._since

    def _nothing(self, job: Job, last: datetime | None, fired: Lease | None, now: datetime) -> Told:
        """Say that nothing is due, or who else saw to the time that has just come."""
        if last is None or fired is None or last <= self._since or self._seen.get(job.name) == last:
            return Told(job.name, "idle", "nothing is due", now)
        self._seen[job.name] = last
        return Told(job.name, "skipped", f"{fired.holder.split('@')[0]} has it", now, last)

    def _reason(self, job: Job, firing: datetime | None, fired: Lease | None, dead: Lease | None, now: datetime) -> str | None:
        """Say why the job has to run, now that nobody else can begin it; ``None`` if another scheduler was faster."""
        if firing is not None:
            self._seen[job.name] = firing
            return f"due at {firing:%Y-%m-%d %H:%M %Z}" if self._claim(f"fired:{job.name}", firing) else None
        cut = job.cut(now)
        # A dead process alone is reason enough once for each time: a job that kills its machine must not do so for ever.
        if cut is None and dead is not None and fired is not None and self._claim(f"again:{job.name}", fired.until):
            cut = f"{dead.holder} did not end it"
        return f"{cut}; it is taken up again" if cut else None

    def _claim(self, row: str, at: datetime) -> bool:
        return self._leases.take_lease(row, f"{self._holder}@{at.isoformat()}", at, _HANDED_OUT_S)

    def _run(self, job: Job, held: _Held, firing: datetime | None) -> Told:
        done = threading.Event()
        beat = threading.Thread(target=held.keep, args=(done,), name=f"deskhand-{job.name}-lease", daemon=True)
        beat.start()
        happened: Happened = "ran"
        try:
            why = job.run(lambda: held.lost or self._stop.is_set())
        except Stopped as stopped:
            happened, why = "lost" if held.lost else "stopped", str(stopped)
        except Exception as error:
            happened, why = "failed", str(error) if isinstance(error, DeskhandError) else f"{type(error).__name__}: {error}"
            if not isinstance(error, DeskhandError):
                LOG.exception("job %s", job.name)
        finally:
            done.set()
            beat.join()
        if happened == "stopped":
            self._run_out(held.row)
        elif not held.lost:
            self._give_back(held.row)
        return Told(job.name, happened, why, self._now(), firing)

    def _say(self, told: Told) -> None:
        try:
            self._tell(told)
        except OSError as error:  # nobody reads on; the jobs go on
            LOG.warning("job %s: %s: %s (%s)", told.job, told.happened, told.why, error)

    def _give_back(self, row: str) -> None:
        try:
            self._leases.release_lease(row, self._holder)
        except StoreError as error:
            LOG.warning("lease %s could not be given back and runs out by itself: %s", row, error)

    def _run_out(self, row: str) -> None:
        """Let the lease run out instead of giving it back, which tells the others that there is something to take up."""
        try:
            self._leases.take_lease(row, self._holder, self._now() - timedelta(seconds=1), 0.5)
        except StoreError as error:
            LOG.warning("lease %s could not be ended and runs out by itself: %s", row, error)


class _Held:
    """A lease that is renewed while a job runs."""

    def __init__(
        self,
        leases: Leases,
        row: str,
        holder: str,
        seconds: float,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        asked: float,
    ) -> None:
        self.row = row
        self.lost = False
        self._leases = leases
        self._holder = holder
        self._seconds = seconds
        self._now = now
        self._monotonic = monotonic
        self._until = asked + seconds

    def keep(self, done: threading.Event) -> None:
        while not self.lost and not done.wait(self._seconds / 3):
            self.renew()

    def renew(self) -> None:
        """Renew once. Lost is what another holds, and what could not be renewed in time: another may have taken it."""
        asked = self._monotonic()
        try:
            mine = self._leases.lease(self.row)
            kept = mine is not None and mine.holder == self._holder
            kept = kept and self._leases.take_lease(self.row, self._holder, self._now(), self._seconds)
        except StoreError as error:
            LOG.warning("lease %s could not be renewed: %s", self.row, error)
            self.lost = self._monotonic() >= self._until
            return
        self._until, self.lost = asked + self._seconds, not kept
        if self.lost:
            LOG.warning("lease %s was taken by another scheduler; the job is stopped", self.row)
