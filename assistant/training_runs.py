"""The book of training runs: begun, tried again after a crash, finished with a verdict.

Rows in and out. Does not know how a candidate is trained or judged, nor who may run at all (``leases.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from assistant import schema
from assistant.database import Database
from assistant.errors import StoreError

RunState = Literal["running", "promoted", "refused", "failed", "nothing"]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One attempt to train a task anew on what was there ``until`` then; ``version`` is the candidate it made."""

    id: str
    task: str
    state: RunState
    started_at: datetime
    finished_at: datetime | None = None
    until: datetime | None = None
    version: str | None = None
    verdict: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    attempts: int = 1


def begin_run(database: Database, run: TrainingRun) -> None:
    """Enter a run.

    Args:
        database: An open database.
        run: The run, with an id new to the store.

    Raises:
        StoreError: There is no such state, the id is taken, or the database fails.
    """
    _refuse_unknown_states([run.state])
    with database.writing() as connection:
        connection.execute(_RUNS.insert(), asdict(run))


def add_attempt(database: Database, id: str) -> int:
    """Count that a run which was cut short is tried again.

    Args:
        database: An open database.
        id: A run that is not finished.

    Returns:
        How many attempts there are now, this one included.

    Raises:
        StoreError: There is no such run, it is finished, or the database fails.
    """
    with database.writing() as connection:
        attempts = _unfinished(connection, id) + 1
        connection.execute(_RUNS.update().where(_RUNS.c.id == id).values(attempts=attempts))
    return attempts


def finish_run(
    database: Database,
    id: str,
    state: RunState,
    finished_at: datetime,
    version: str | None,
    verdict: dict[str, Any],
    counts: dict[str, int],
) -> None:
    """Enter how a run ended.

    Args:
        database: An open database.
        id: A run that is not finished.
        state: How it ended.
        finished_at: When, timezone-aware.
        version: The candidate it made, if any.
        verdict: What was measured and decided.
        counts: How many examples of which kind it saw.

    Raises:
        StoreError: There is no such run or state, the run is finished, or the database fails.
    """
    _refuse_unknown_states([state])
    ended = {"state": state, "finished_at": finished_at, "version": version, "verdict": verdict, "counts": counts}
    with database.writing() as connection:
        _unfinished(connection, id)
        connection.execute(_RUNS.update().where(_RUNS.c.id == id).values(ended))


def list_runs(
    database: Database, task: str | None = None, states: tuple[RunState, ...] | None = None, limit: int | None = None
) -> list[TrainingRun]:
    """List runs.

    Args:
        database: An open database.
        task: Only of this task.
        states: Only in one of these states.
        limit: How many at most.

    Returns:
        The runs, newest first.

    Raises:
        StoreError: There is no such state, or the database fails.
    """
    query = sa.select(_RUNS).order_by(_RUNS.c.started_at.desc(), _RUNS.c.id.desc())
    if task is not None:
        query = query.where(_RUNS.c.task == task)
    if states is not None:
        _refuse_unknown_states(states)
        query = query.where(_RUNS.c.state.in_(list(states)))
    if limit is not None:
        query = query.limit(max(limit, 0))
    with database.reading() as connection:
        return [TrainingRun(**row) for row in connection.execute(query).mappings()]


_RUNS = schema.training_runs


def _refuse_unknown_states(states: Collection[str]) -> None:
    known = get_args(RunState)
    for state in states:
        if state not in known:
            raise StoreError(f"training run state {state!r} is none of {', '.join(known)}")


def _unfinished(connection: Connection, id: str) -> int:
    """Return the attempts of a run that is not finished; another transaction waits for this one to end."""
    query = sa.select(_RUNS.c.state, _RUNS.c.attempts).where(_RUNS.c.id == id).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        raise StoreError(f"there is no training run {id[:80]!r} in the store: begin it first")
    if row.state != "running":
        raise StoreError(f"training run {id[:80]!r} is {row.state} already: begin another")
    return int(row.attempts)
