"""What the store keeps for the learning loop: corrections, regression cases, texts to label, training runs, outcomes.

Reads what people wrote and thought, and keeps the books of training. Does not know how anything is trained or judged;
``finetune`` comes after. Conversations are named by refs (``provenance.py``); what people thought is read in
``judgements.py``, runs stand in ``training_runs.py``, who may run in ``leases.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from assistant import judgements, leases, provenance, schema, sources, training_runs
from assistant.database import Database
from assistant.errors import StoreError
from assistant.judgements import Correction as Correction
from assistant.judgements import Outcome as Outcome
from assistant.leases import Lease as Lease
from assistant.provenance import conversation_ref as conversation_ref
from assistant.provenance import transcript_ref as transcript_ref
from assistant.records import Language
from assistant.sources import SourceRecord
from assistant.training_runs import RunState as RunState
from assistant.training_runs import TrainingRun as TrainingRun

ReviewState = Literal["open", "labelled", "dropped"]


@dataclass(frozen=True, slots=True)
class RegressionCase:
    """A text that every later version must get right; ``ref`` names its conversation, empty if written by hand."""

    id: str
    task: str
    text: str
    expected: str
    lang: Language
    ref: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A text the model was unsure of, for a person to label; ``ref`` names its conversation, empty if written by hand."""

    id: str
    task: str
    text: str
    lang: Language
    proposed: str
    confidence: float
    uncertainty: float
    ref: str
    at: datetime
    state: ReviewState = "open"
    label: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A version that has to be trained anew, for some of what it was made from is gone."""

    task: str
    version: str
    reason: str
    at: datetime | None


class Learning:
    """The learning loop's side of a store; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        """Use an open database."""
        self._database = database

    # What people put right

    def corrections(self, since: datetime | None = None) -> list[Correction]:
        """List the judgements that say what would have been right, oldest first; see ``judgements.list_corrections``."""
        return judgements.list_corrections(self._database, since)

    def corrections_stamp(self) -> str:
        """Tell the corrections' state in a text that changes with them; see ``judgements.corrections_stamp``."""
        return judgements.corrections_stamp(self._database)

    def outcomes(self, task: str, since: datetime) -> list[Outcome]:
        """List how replies turned out from a time on, with the task's version; see ``judgements.list_outcomes``."""
        return judgements.list_outcomes(self._database, task, since)

    def sources_since(self, since: datetime | None) -> list[SourceRecord]:
        """List what was ingested after a time, oldest first; see ``sources.list_sources``."""
        return sources.list_sources(self._database, since)

    # What every version must get right

    def add_regression_case(self, case: RegressionCase) -> bool:
        """Keep a case, in place of an older one with the same task and text.

        Args:
            case: The case.

        Returns:
            Whether it was kept; not if its conversation is gone from the store.

        Raises:
            StoreError: The id is another case's, the ref names no conversation, or the database fails.
        """
        table = schema.regression_cases
        row = {**asdict(case), "text_sha256": _text_sha256(case.text)}
        with self._database.writing() as connection:
            if not _kept(connection, case.ref):
                return False
            same = (table.c.task == case.task) & (table.c.text_sha256 == row["text_sha256"])
            connection.execute(table.delete().where(same))
            connection.execute(table.insert(), row)
        return True

    def regression_cases(self, task: str | None = None) -> list[RegressionCase]:
        """List the cases.

        Args:
            task: Only those of this task.

        Returns:
            The cases, oldest first.
        """
        table = schema.regression_cases
        query = _of_task(sa.select(*_columns(table, RegressionCase)), table, task).order_by(table.c.at, table.c.id)
        with self._database.reading() as connection:
            return [RegressionCase(**row) for row in connection.execute(query).mappings()]

    # What people are asked to label

    def queue(self, items: Iterable[ReviewItem]) -> int:
        """Ask people about texts; one that was asked about before, in whatever state, is not asked about again.

        Args:
            items: The texts. One whose conversation is gone from the store is left out.

        Returns:
            How many were added.

        Raises:
            StoreError: An id is taken, a ref names no conversation, or the database fails; nothing was added.
        """
        added = 0
        with self._database.writing() as connection:
            for item in items:
                if _kept(connection, item.ref):
                    insert = schema.insert_into(connection, schema.review_queue)
                    row = {**asdict(item), "text_sha256": _text_sha256(item.text)}
                    once = insert.values(row).on_conflict_do_nothing(index_elements=["task", "text_sha256"])
                    added += connection.execute(once.returning(schema.review_queue.c.id)).first() is not None
        return added

    def review(self, task: str | None = None, limit: int = 50) -> list[ReviewItem]:
        """List what waits for a label.

        Args:
            task: Only of this task.
            limit: How many at most.

        Returns:
            The open items, most uncertain first.
        """
        table = schema.review_queue
        query = _of_task(sa.select(*_columns(table, ReviewItem)), table, task).where(table.c.state == "open")
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(table.c.uncertainty.desc(), table.c.at, table.c.id).limit(max(limit, 0)))
            return [ReviewItem(**row) for row in rows.mappings()]

    def asked(self, task: str) -> frozenset[str]:
        """Return the texts that people were ever asked about, whatever became of it."""
        table = schema.review_queue
        with self._database.reading() as connection:
            return frozenset(connection.execute(sa.select(table.c.text).where(table.c.task == task)).scalars())

    def decide(self, id: str, label: str | None, at: datetime) -> None:
        """Store a person's label, in place of an earlier one.

        Args:
            id: The item.
            label: The label; ``None`` drops the item.
            at: When it was decided, timezone-aware.

        Raises:
            StoreError: There is no such item, the label is empty, or the database fails.
        """
        if label is not None and not label.strip():
            raise StoreError(f"the label of review item {id[:80]!r} is empty: name a label, or drop the item with None")
        table = schema.review_queue
        state = "dropped" if label is None else "labelled"
        change = table.update().where(table.c.id == id).values(state=state, label=label, decided_at=at)
        with self._database.writing() as connection:
            if connection.execute(change).rowcount == 0:
                raise StoreError(f"there is no review item {id[:80]!r} in the store: it may have been erased; list the open ones")

    def labelled(self, task: str, since: datetime | None = None) -> list[ReviewItem]:
        """List what people labelled.

        Args:
            task: Of this task.
            since: Only what was decided after this time.

        Returns:
            The labelled items, longest decided first.
        """
        table = schema.review_queue
        query = _of_task(sa.select(*_columns(table, ReviewItem)), table, task).where(table.c.state == "labelled")
        if since is not None:
            query = query.where(table.c.decided_at > since)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(table.c.decided_at, table.c.id))
            return [ReviewItem(**row) for row in rows.mappings()]

    # What was trained

    def begin_run(self, run: TrainingRun) -> None:
        """Enter a run; see ``training_runs.begin_run``."""
        training_runs.begin_run(self._database, run)

    def add_attempt(self, id: str) -> int:
        """Count that an unfinished run is tried again, and return the attempts; see ``training_runs.add_attempt``."""
        return training_runs.add_attempt(self._database, id)

    def finish_run(
        self,
        id: str,
        state: RunState,
        finished_at: datetime,
        version: str | None,
        verdict: dict[str, Any],
        counts: dict[str, int],
    ) -> None:
        """Enter how a run ended; see ``training_runs.finish_run``."""
        training_runs.finish_run(self._database, id, state, finished_at, version, verdict, counts)

    def runs(self, task: str | None = None, limit: int = 20) -> list[TrainingRun]:
        """List runs, of one task or of all, newest first; see ``training_runs.list_runs``."""
        return training_runs.list_runs(self._database, task, limit=limit)

    def last_run(self, task: str, states: tuple[RunState, ...] | None = None) -> TrainingRun | None:
        """Find the newest run of a task, in one of these states if they are named; see ``training_runs.list_runs``."""
        return next(iter(training_runs.list_runs(self._database, task, states, limit=1)), None)

    def unfinished_runs(self) -> list[TrainingRun]:
        """List the runs that are under way or were cut short, newest first; see ``training_runs.list_runs``."""
        return training_runs.list_runs(self._database, states=("running",))

    def record_uses(self, task: str, version: str, refs: Iterable[str]) -> None:
        """Note which conversations a version was made from, so that it can be found when one is erased.

        Where one is gone already, erased while the version was trained, the version is noted in ``due`` at once.

        Args:
            task: The version's task.
            version: Its name.
            refs: The conversations, by ``transcript_ref`` and ``conversation_ref``; once or more often.

        Raises:
            StoreError: A ref names no conversation, or the database fails.
        """
        table = schema.training_uses
        wanted = {schema.storable(ref) for ref in refs}
        with self._database.writing() as connection:
            provenance.one_at_a_time(connection)
            kept = provenance.present(connection, wanted)
            if kept:
                insert = schema.insert_into(connection, table).on_conflict_do_nothing()
                connection.execute(insert, [{"task": task, "version": version, "ref": ref} for ref in sorted(kept)])
            if kept != wanted:
                provenance.note_due(connection, task, version, provenance.ERASED, None)

    def uses(self, task: str, version: str) -> list[str]:
        """List the conversations that a version was made from and that are still there.

        Args:
            task: The version's task.
            version: Its name.

        Returns:
            Their refs, sorted.
        """
        table = schema.training_uses
        query = sa.select(table.c.ref).where(table.c.task == task, table.c.version == version)
        with self._database.reading() as connection:
            return sorted(connection.execute(query).scalars())

    def due(self) -> list[Due]:
        """List the versions that have to be trained anew.

        Returns:
            One for each version and reason, oldest first; those without a time come before.
        """
        table = schema.retraining_due
        query = sa.select(table).order_by(table.c.at.asc().nulls_first(), table.c.task, table.c.version, table.c.reason)
        with self._database.reading() as connection:
            return [Due(**row) for row in connection.execute(query).mappings()]

    def clear_due(self, task: str, version: str | None = None) -> None:
        """Note that a task was trained anew.

        Args:
            task: The task.
            version: Only what was due for this version; name it where another may have come to be due meanwhile.
        """
        table = schema.retraining_due
        with self._database.writing() as connection:
            gone = table.delete().where(table.c.task == task)
            connection.execute(gone if version is None else gone.where(table.c.version == version))

    # Who may run

    def take_lease(self, name: str, holder: str, now: datetime, seconds: float) -> bool:
        """Take a lease that is free or run out, or renew one's own, and say whether; see ``leases.take_lease``."""
        return leases.take_lease(self._database, name, holder, now, seconds)

    def release_lease(self, name: str, holder: str) -> bool:
        """Give a lease back, and say whether the holder had it; see ``leases.release_lease``."""
        return leases.release_lease(self._database, name, holder)

    def lease(self, name: str) -> Lease | None:
        """Find a lease, even one that has run out; see ``leases.find_lease``."""
        return leases.find_lease(self._database, name)


def _text_sha256(text: str) -> str:
    return hashlib.sha256(schema.storable(text).encode()).hexdigest()


def _kept(connection: Connection, ref: str) -> bool:
    """Say whether what a row is made from is still there; nothing may be learned again from what was erased."""
    provenance.one_at_a_time(connection)
    return not ref or bool(provenance.present(connection, [schema.storable(ref)]))


def _columns(table: sa.Table, record: type[RegressionCase | ReviewItem]) -> list[sa.Column[Any]]:
    return [table.c[name] for name in record.__dataclass_fields__]


def _of_task(query: sa.Select[Any], table: sa.Table, task: str | None) -> sa.Select[Any]:
    return query if task is None else query.where(table.c.task == task)
