"""Who follows whom: a job whose holder died, slept, stopped or lost its store, and schedulers in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assistant.leases import Lease
from assistant.store import Store, open_store
from finetune.schedule import Job, Keeper, Stopped
from tests.finetune.test_schedule import DAY, LEASE_S, MIDNIGHT, SECOND, THREE, Clock, Failing, FailingStore, Place
from tests.finetune.test_schedule import place as place

# Takeover


def die(stopped: Callable[[], bool]) -> str:
    """Leave as a killed process does: nothing is given back."""
    raise SystemExit


def kill(keeper: Keeper, job: Job) -> None:
    """Let a scheduler die while it runs a job."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keeper, "_give_back", lambda self, row: None)
        with pytest.raises(SystemExit):
            keeper.look(job)


def test_dead_holder_is_followed_when_its_lease_has_run_out_and_not_before(place: Place) -> None:
    first, second = place.keeper("a"), place.keeper("b")
    place.clock.go(THREE)
    kill(first, place.job("a", die))
    place.clock.go(THREE + timedelta(seconds=LEASE_S) - SECOND)
    assert second.look(place.job("b")).happened == "skipped"
    place.clock.go(THREE + timedelta(seconds=LEASE_S))
    told = second.look(place.job("b"))
    assert (told.happened, told.firing) == ("ran", None)
    assert "a did not end it; it is taken up again" in place.told[-2].why
    assert place.keeper("c").look(place.job("c")).happened != "ran"
    assert place.runs == ["a", "b"]


def test_job_that_kills_every_holder_is_taken_up_once_for_each_time(place: Place) -> None:
    place.clock.go(MIDNIGHT)
    keepers = [place.keeper(name) for name in "abcd"]
    place.clock.go(THREE)
    for keeper in keepers[:2]:
        kill(keeper, place.job("x", die))
        place.clock.go(place.clock.now + timedelta(seconds=LEASE_S))
    assert [keeper.look(place.job("y")).happened for keeper in keepers[2:]] == ["idle", "skipped"]
    assert place.runs == ["x", "x"]
    place.clock.go(THREE + DAY)
    assert keepers[2].look(place.job("y")).happened == "ran"


def test_unfinished_run_is_taken_up_without_a_time_being_due(place: Place) -> None:
    keeper = place.keeper("a")
    place.cut = "intent: the run of yesterday was cut off"
    told = keeper.look(place.job("a"))
    assert told.happened == "ran" and told.firing is None
    assert place.told[0].why == "intent: the run of yesterday was cut off; it is taken up again"
    place.cut = None
    assert keeper.look(place.job("a")).happened == "idle"


def test_stopped_scheduler_asks_the_job_to_stop_and_another_takes_it_up_at_once(place: Place) -> None:
    def inside(stopped: Callable[[], bool]) -> str:
        place.stop.set()
        assert stopped()
        raise Stopped("it was asked to")

    first, second = place.keeper("a"), place.keeper("b")
    place.clock.go(THREE)
    assert first.look(place.job("a", inside)).happened == "stopped"
    place.stop.clear()
    assert second.look(place.job("b")).happened == "ran"
    assert place.runs == ["a", "b"]


class Beat:
    """Renews the lease of a running job when the test says so, as the thread does every third of a lease."""

    held: Any = None

    def keep(self, held: Any, done: threading.Event) -> None:
        self.held = held


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch) -> Beat:
    beat = Beat()
    monkeypatch.setattr("finetune.schedule._Held.keep", lambda held, done: beat.keep(held, done))
    return beat


def renewing(beat: Beat) -> None:
    while beat.held is None:  # the thread that hands it over has been started
        threading.Event().wait(0.001)
    beat.held.renew()


def test_lease_is_renewed_while_the_job_runs(place: Place, beat: Beat) -> None:
    first, second = place.keeper("a"), place.keeper("b")

    def inside(stopped: Callable[[], bool]) -> str:
        for _ in range(20):
            place.clock.go(place.clock.now + timedelta(seconds=LEASE_S / 3))
            renewing(beat)
            assert second.look(place.job("b")).happened in ("idle", "skipped") and not stopped()
        return "done"

    place.clock.go(THREE)
    assert first.look(place.job("a", inside)).happened == "ran"
    assert place.runs == ["a"]


def test_job_is_stopped_when_another_took_it_over_and_the_others_lease_is_left_alone(place: Place, beat: Beat) -> None:
    def inside(stopped: Callable[[], bool]) -> str:
        later = place.clock.now + timedelta(seconds=LEASE_S)  # the machine slept
        assert place.store.learning.take_lease("job:retrain", "b", later, LEASE_S)
        place.clock.now = later
        renewing(beat)
        assert stopped()
        raise Stopped("it was asked to")

    keeper = place.keeper("a")
    place.clock.go(THREE)
    assert keeper.look(place.job("a", inside)).happened == "lost"
    lease = place.store.learning.lease("job:retrain")
    assert isinstance(lease, Lease) and lease.holder == "b"


def test_job_is_stopped_when_the_other_that_took_it_over_is_done_already(place: Place, beat: Beat) -> None:
    def inside(stopped: Callable[[], bool]) -> str:
        place.store.learning.release_lease("job:retrain", "a")
        renewing(beat)
        assert stopped()
        raise Stopped("it was asked to")

    keeper = place.keeper("a")
    place.clock.go(THREE)
    assert keeper.look(place.job("a", inside)).happened == "lost"


def test_lease_that_cannot_be_renewed_is_kept_for_its_time_and_then_lost(place: Place, beat: Beat) -> None:
    failing = Failing(place.store.learning)
    place.store = FailingStore(failing)

    def inside(stopped: Callable[[], bool]) -> str:
        failing.down = True
        place.clock.go(place.clock.now + timedelta(seconds=LEASE_S - 1))
        renewing(beat)
        assert not stopped()
        place.clock.go(place.clock.now + 2 * SECOND)
        renewing(beat)
        assert stopped()
        raise Stopped("it was asked to")

    keeper = place.keeper("a")
    place.clock.go(THREE)
    assert keeper.look(place.job("a", inside)).happened == "lost"


# Processes


class Racer:
    """A scheduler in a process of its own, begun at midnight; see ``schedule_racer.py``."""

    def __init__(self, url: str, ran: Path, how: str = "end") -> None:
        root = Path(__file__).parents[2]
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("schedule_racer.py")), url, MIDNIGHT.isoformat(), str(ran), how],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def look(self, now: datetime) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{now.isoformat()}\n")
        self.process.stdin.flush()

    def __enter__(self) -> Racer:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_of_three_processes_at_the_same_instant_exactly_one_runs_and_a_killed_one_is_followed(
    store_url: str, tmp_path: Path
) -> None:
    ran, nights = tmp_path / "ran", 10
    open_store(store_url).close()
    with (
        Racer(store_url, ran, "hang") as dying,
        Racer(store_url, ran) as one,
        Racer(store_url, ran) as two,
        Racer(store_url, ran) as three,
    ):
        racers = (one, two, three)
        assert [racer.line() for racer in (dying, *racers)] == ["ready"] * 4
        for night in range(nights):
            for racer in racers:
                racer.look(THREE + night * DAY + SECOND)
            happened = Counter(racer.line() for racer in racers)
            assert happened["ran"] == 1 and set(happened) <= {"ran", "skipped", "idle"}
            assert len(ran.read_text().split()) == night + 1
        last = THREE + nights * DAY
        dying.look(last)
        assert dying.line() == "begun"
        dying.process.kill()
        dying.process.wait()
        for racer in racers:
            racer.look(last + SECOND)
        assert "ran" not in [racer.line() for racer in racers]
        for racer in racers:
            racer.look(last + timedelta(seconds=LEASE_S))
        assert [racer.line() for racer in racers].count("ran") == 1
    assert len(ran.read_text().split()) == nights + 2


def test_store_is_left_with_two_rows_however_often_a_job_ran(store_url: str) -> None:
    with open_store(store_url) as store:
        place = Place(store, Clock())
        keeper = place.keeper("a")
        for night in range(5):
            place.clock.go(THREE + night * DAY)
            assert keeper.look(place.job("a")).happened == "ran"
        assert _leases(store) == ["fired:retrain"]


def _leases(store: Store) -> list[str]:
    return [name for name in ("fired:retrain", "job:retrain", "again:retrain") if store.learning.lease(name)]
