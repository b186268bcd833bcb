"""The schedule: each time is run once by one of many schedulers, whatever clocks and stores do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from assistant.database import sqlite_url
from assistant.errors import StoreError, TrainingError
from assistant.store import open_store
from finetune.cron_times import last_run
from finetune.schedule import Job, Keeper, Told, next_run

BERLIN = "Europe/Berlin"
THREE = datetime(2025, 6, 2, 3, tzinfo=UTC)
MIDNIGHT = THREE - timedelta(hours=3)
DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
LEASE_S = 120.0


# When


def times(cron: str, zone: str, start: datetime, count: int) -> list[str]:
    """List the next times, in UTC."""
    found = []
    for _ in range(count):
        coming = next_run(cron, zone, start)
        assert coming is not None
        found.append(f"{coming.astimezone(UTC):%m-%d %H:%M}")
        start = coming
    return found


def test_next_time_comes_after_now_and_in_the_zone() -> None:
    assert next_run("0 3 * * *", "UTC", THREE - SECOND) == THREE
    assert next_run("0 3 * * *", "UTC", THREE) == THREE + DAY
    coming = next_run("0 3 * * *", BERLIN, THREE)
    assert coming is not None and f"{coming:%d %H:%M %Z}" == "03 03:00 CEST"
    assert next_run("", "UTC", THREE) is None


def test_weekdays_are_crons_and_either_day_field_suffices() -> None:
    assert times("0 3 * * 0", "UTC", THREE, 2) == ["06-08 03:00", "06-15 03:00"]  # Sundays
    assert times("0 3 13 * 5", "UTC", THREE, 3) == ["06-06 03:00", "06-13 03:00", "06-20 03:00"]
    assert times("0 3 * * 1-5", "UTC", THREE + 3 * DAY, 2) == ["06-06 03:00", "06-09 03:00"]


def test_time_that_the_clock_jumps_over_comes_once() -> None:
    # On 2025-03-30 Berlin's clocks go from 02:00 to 03:00, which is 01:00 UTC.
    eve = datetime(2025, 3, 29, 12, tzinfo=UTC)
    assert times("30 2 * * *", BERLIN, eve, 2) == ["03-30 01:00", "03-31 00:30"]
    assert times("0 2,3 * * *", BERLIN, eve, 2) == ["03-30 01:00", "03-31 00:00"]
    coming = next_run("30 2 * * *", BERLIN, eve)
    assert coming is not None and f"{coming:%H:%M}" == "03:00"


def test_midnights_around_a_change_of_clocks_all_come() -> None:
    # APScheduler 3.11.3 leaves out the 31st, and comes to the first of these only in 2027.
    assert times("0 0 * * *", BERLIN, datetime(2025, 3, 29, 12, tzinfo=UTC), 3) == ["03-29 23:00", "03-30 22:00", "03-31 22:00"]
    coming = next_run("0 0 1 1 *", "Australia/Sydney", THREE)
    assert coming is not None and f"{coming:%Y-%m-%d %H:%M}" == "2026-01-01 00:00"
    assert times("15 * * * *", "Australia/Lord_Howe", datetime(2025, 10, 4, 14, tzinfo=UTC), 3) == [
        "10-04 14:45", "10-04 16:15", "10-04 17:15"]  # fmt: skip


def test_hour_that_happens_twice_counts_once() -> None:
    # On 2025-10-26 Berlin's clocks go from 03:00 back to 02:00, which is 01:00 UTC.
    eve = datetime(2025, 10, 25, 12, tzinfo=UTC)
    assert times("30 2 * * *", BERLIN, eve, 2) == ["10-26 00:30", "10-27 01:30"]
    between = datetime(2025, 10, 26, 1, 0, tzinfo=UTC)
    last = last_run("30 2 * * *", BERLIN, between + 45 * MINUTE)
    assert last is not None and last.astimezone(UTC) == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "cron", ["* * * * *", "*/15 * * * *", "0 3 * * *", "30 2 * * 0", "0 0 1 1 *", "0 0 29 2 *", "0 3 13 * 5"]
)
@pytest.mark.parametrize("zone", ["UTC", BERLIN, "Australia/Lord_Howe"])
def test_last_time_and_next_time_leave_no_gap(cron: str, zone: str) -> None:
    for now in (THREE, datetime(2025, 3, 30, 0, 59, 59, tzinfo=UTC), datetime(2025, 10, 26, 1, 30, tzinfo=ZoneInfo(BERLIN))):
        last, coming = last_run(cron, zone, now), next_run(cron, zone, now)
        assert last is not None and coming is not None and last <= now < coming
        assert next_run(cron, zone, last) == coming


# Who


@dataclass
class Clock:
    """A clock that a test sets; ``steady`` only ever goes on."""

    now: datetime = MIDNIGHT
    steady: float = 0.0

    def go(self, to: datetime) -> None:
        self.steady += max((to - self.now).total_seconds(), 0.0)
        self.now = to


@dataclass
class Place:
    """A store with a clock, schedulers on it, and what they told."""

    store: Any
    clock: Clock
    runs: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    cut: str | None = None

    def keeper(self, holder: str) -> Keeper:
        return Keeper(
            self.store.learning,
            holder,
            now=lambda: self.clock.now,
            monotonic=lambda: self.clock.steady,
            lease_s=LEASE_S,
            stop=self.stop,
            tell=self.told.append,
        )

    def job(self, name: str, inside: Callable[[Callable[[], bool]], str] | None = None, cron: str = "0 3 * * *") -> Job:
        def run(stopped: Callable[[], bool]) -> str:
            self.runs.append(name)
            return inside(stopped) if inside else "done"

        return Job("retrain", cron, run, cut=lambda now: self.cut)

    @property
    def words(self) -> list[str]:
        return [told.happened for told in self.told]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_store(sqlite_url(tmp_path / "d.db")) as store:
        yield Place(store, Clock())


def test_job_runs_at_its_time_once_and_gives_its_lease_back(place: Place) -> None:
    keeper, job = place.keeper("a"), place.job("a")
    assert keeper.look(job).happened == "idle" and place.told == []
    place.clock.go(THREE)
    told = keeper.look(job)
    assert (told.happened, told.why, told.firing) == ("ran", "done", THREE)
    assert keeper.look(job).happened == "idle"
    assert place.runs == ["a"] and place.words == ["begun", "ran"]
    assert place.store.learning.lease("job:retrain") is None
    place.clock.go(THREE + DAY)
    assert keeper.look(job).happened == "ran"


def test_the_other_schedulers_leave_a_finished_time_alone_and_say_who_had_it(place: Place) -> None:
    keepers = [place.keeper(name) for name in "abc"]
    place.clock.go(THREE + SECOND)
    happened = [keeper.look(place.job(name)).happened for keeper, name in zip(keepers, "abc", strict=True)]
    assert happened == ["ran", "skipped", "skipped"] and place.runs == ["a"]
    assert place.told[-1].why == "a has it"
    assert [keeper.look(place.job("x")).happened for keeper in keepers] == ["idle"] * 3


def test_scheduler_that_finds_the_job_running_skips_and_says_so_once(place: Place) -> None:
    first, second = place.keeper("a"), place.keeper("b")
    place.clock.go(THREE)
    seen: list[str] = []

    def inside(stopped: Callable[[], bool]) -> str:
        seen.extend(second.look(place.job("b")).happened for _ in range(3))
        place.clock.go(THREE + MINUTE)
        return "done"

    assert first.look(place.job("a", inside)).happened == "ran"
    assert seen == ["skipped", "idle", "idle"] and place.runs == ["a"]


def test_next_time_waits_for_a_run_that_takes_longer_than_a_night(place: Place) -> None:
    first, second = place.keeper("a"), place.keeper("b")
    place.clock.go(THREE)

    def inside(stopped: Callable[[], bool]) -> str:
        place.clock.go(place.clock.now + MINUTE)
        told = second.look(place.job("b", cron="* * * * *"))
        assert (told.happened, told.why) == ("skipped", "a runs it")
        return "done"

    assert first.look(place.job("a", inside, cron="* * * * *")).happened == "ran"
    assert second.look(place.job("b", cron="* * * * *")).happened == "ran"
    assert place.runs == ["a", "b"]


def test_times_missed_asleep_are_made_up_for_once(place: Place) -> None:
    keeper = place.keeper("a")
    place.clock.go(THREE)
    keeper.look(place.job("a"))
    place.clock.go(THREE + 5 * DAY + HOUR)
    told = keeper.look(place.job("a"))
    assert (told.happened, told.firing) == ("ran", THREE + 5 * DAY)
    assert keeper.look(place.job("a")).happened == "idle"
    place.clock.go(THREE + 7 * DAY + HOUR)
    assert place.keeper("restarted").look(place.job("restarted")).happened == "ran"


def test_first_start_after_the_time_waits_for_the_next_unless_asked_for_at_once(place: Place) -> None:
    place.clock.go(THREE + HOUR)
    keeper = place.keeper("a")
    assert keeper.look(place.job("a")).happened == "idle"
    assert keeper.look(place.job("a"), at_once=True).happened == "ran"
    assert keeper.look(place.job("a"), at_once=True).happened == "idle"


def test_clock_that_is_set_back_runs_nothing_twice(place: Place) -> None:
    keeper = place.keeper("a")
    place.clock.go(THREE + MINUTE)
    assert keeper.look(place.job("a")).happened == "ran"
    for now in (THREE - HOUR, THREE, THREE + MINUTE):
        place.clock.now = now
        assert keeper.look(place.job("a")).happened == "idle"
        assert place.keeper("b").look(place.job("b"), at_once=True).happened == "idle"
    place.clock.go(THREE + DAY)
    assert keeper.look(place.job("a")).happened == "ran"


def test_clock_that_was_a_year_ahead_does_not_silence_the_job(place: Place) -> None:
    place.clock.now = THREE + 365 * DAY - HOUR
    keeper = place.keeper("a")
    place.clock.go(THREE + 365 * DAY)
    assert keeper.look(place.job("a")).happened == "ran"
    place.clock.now = MIDNIGHT
    assert keeper.look(place.job("a")).happened == "idle"
    place.clock.go(THREE)
    assert keeper.look(place.job("a")).happened == "ran"
    assert keeper.look(place.job("a")).happened == "idle"


def test_pause_ends_at_the_next_time_and_never_lasts_long(place: Place) -> None:
    keeper = place.keeper("a")
    assert keeper.pause_s(place.job("a")) == LEASE_S / 2
    place.clock.go(THREE - 5 * SECOND)
    assert keeper.pause_s(place.job("a")) == pytest.approx(5.01)
    assert keeper.pause_s(place.job("a", cron="")) == LEASE_S / 2


def test_threads_end_when_told_to_and_a_job_does_not_hold_up_another(place: Place) -> None:
    place.clock.go(THREE - HOUR)
    keeper = place.keeper("a")
    place.clock.go(THREE)
    other = threading.Event()

    def long(stopped: Callable[[], bool]) -> str:
        assert other.wait(30)
        place.stop.set()
        return "done"

    def short(stopped: Callable[[], bool]) -> str:
        other.set()
        return "done"

    for thread in keeper.serve([Job("long", "0 3 * * *", long), Job("short", "0 3 * * *", short)]):
        thread.join(30)
        assert not thread.is_alive()
    assert sorted(told.job for told in place.told if told.happened == "ran") == ["long", "short"]


# What goes wrong


def test_job_that_fails_is_told_and_runs_again_only_at_its_next_time(place: Place) -> None:
    def inside(stopped: Callable[[], bool]) -> str:
        raise TrainingError("too few examples")

    keeper = place.keeper("a")
    place.clock.go(THREE)
    told = keeper.look(place.job("a", inside))
    assert (told.happened, told.why) == ("failed", "too few examples")
    assert keeper.look(place.job("a")).happened == "idle"
    assert place.store.learning.lease("job:retrain") is None


class Failing:
    """Leases of a store that can be cut off."""

    def __init__(self, leases: Any) -> None:
        self.leases, self.down = leases, False

    def __getattr__(self, name: str) -> Any:
        if self.down:
            raise StoreError("cannot reach the store")
        return getattr(self.leases, name)


@dataclass
class FailingStore:
    learning: Failing


def test_store_out_of_reach_is_told_once_and_the_time_is_made_up_for(place: Place) -> None:
    failing = Failing(place.store.learning)
    place.store = FailingStore(failing)
    keeper = place.keeper("a")
    place.clock.go(THREE)
    failing.down = True
    for _ in range(3):
        assert keeper.look(place.job("a")).happened == "unreachable"
    assert place.words == ["unreachable"] and "cannot reach the store" in place.told[0].why
    place.clock.go(THREE + HOUR)
    failing.down = False
    assert keeper.look(place.job("a")).happened == "ran"
    assert place.runs == ["a"]


def test_unforeseen_fault_is_told_and_survived(place: Place) -> None:
    def cut(now: datetime) -> str | None:
        raise ZeroDivisionError("oh")

    keeper = place.keeper("a")
    told = keeper.look(Job("retrain", "0 3 * * *", lambda stopped: "", cut=cut))
    assert (told.happened, told.why) == ("failed", "ZeroDivisionError: oh")
