"""The outbox's rows: notices that wait for their receiver, are claimed by one sender for a while, and are sent or given up.

A notice's id hangs on the alert, on what happened and on the receiver, so that two monitors that see the same put it here
once, and every try carries the same id. A row names messages by id; their texts are fetched for each try, and what was
forgotten meanwhile is not sent. Does not know how anything is sent (``outbox.py``), nor the receivers' addresses and
secrets, which stand in the settings alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from assistant import schema
from assistant.database import Database
from assistant.errors import StoreError

OutboxState = Literal["waiting", "sent", "dead"]
_OUTBOX = schema.outbox


@dataclass(frozen=True, slots=True)
class Notice:
    """What one receiver is told of an alert.

    Attributes:
        target: The receiver's name in the settings.
        what: What happened, such as ``opened``, ``acknowledged``, ``resolved``; told once for each alert and receiver.
        title: One line.
        text: A few lines in plain words; no customer's text.
        at: When it happened by the clock, timezone-aware; giving up is counted from here.
        data: The figures, ready for JSON; no customer's text.
        messages: Ids of messages to quote.
    """

    target: str
    what: str
    title: str
    text: str
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A notice in the outbox; ``attempts`` counts the tries begun, ``done_at`` is when it was sent or given up."""

    id: str
    alert_id: str
    target: str
    body: dict[str, Any]
    created_at: datetime
    next_at: datetime
    attempts: int
    state: OutboxState
    last_error: str
    holder: str | None
    until: datetime | None
    done_at: datetime | None


def notice_id(alert_id: str, what: str, target: str) -> str:
    """Name a notice.

    Args:
        alert_id: The alert.
        what: What happened to it.
        target: The receiver's name.

    Returns:
        ``msg_`` and 32 hexadecimal digits, the same for the same three; holds no full stop, as signatures ask for.
    """
    parts = "".join(f"{len(part)}:{part}" for part in (alert_id, what, target))
    return f"msg_{hashlib.sha256(schema.storable(parts).encode()).hexdigest()[:32]}"


def enqueue(connection: Connection, alert_id: str, notices: Iterable[Notice]) -> None:
    """Put notices into the outbox; one that is there already stays as it is.

    Args:
        connection: A connection to write with, in the transaction that changes the alert.
        alert_id: The alert.
        notices: What is told, and to whom.
    """
    rows = [
        {
            "id": notice_id(alert_id, notice.what, notice.target),
            "alert_id": alert_id,
            "target": notice.target,
            "body": {
                "what": notice.what,
                "at": notice.at.isoformat(),
                "title": notice.title,
                "text": notice.text,
                "data": notice.data,
                "messages": list(notice.messages),
            },
            "created_at": notice.at,
            "next_at": notice.at,
            "attempts": 0,
            "state": "waiting",
            "last_error": "",
        }
        for notice in notices
    ]
    if rows:
        connection.execute(schema.insert_into(connection, _OUTBOX).on_conflict_do_nothing(index_elements=["id"]), rows)


def claim(
    database: Database, targets: Collection[str], now: datetime, holder: str, seconds: float, limit: int = 1
) -> list[OutboxRow]:
    """Take notices that are due, oldest first, so that nobody else sends them for a while.

    What an alert's receiver has not been told yet holds back what happened later, so that nobody hears that an alert was
    resolved before it was opened.

    Args:
        database: An open database.
        targets: Names of receivers.
        now: The time, timezone-aware.
        holder: Who takes them; unique to the process.
        seconds: For how long, above 0; a holder that died loses them after it.
        limit: How many at most.

    Returns:
        The rows, with this try counted.

    Raises:
        StoreError: The time is not above 0, or the database fails.
    """
    if not seconds > 0:
        raise StoreError(f"a claim for {seconds} s would be run out at once: ask for more than 0 seconds")
    earlier = _OUTBOX.alias("earlier")
    untold = sa.exists().where(
        earlier.c.alert_id == _OUTBOX.c.alert_id,
        earlier.c.target == _OUTBOX.c.target,
        earlier.c.state == "waiting",
        earlier.c.created_at < _OUTBOX.c.created_at,
    )
    due = (
        sa.select(_OUTBOX.c.id)
        .where(schema.UNDELIVERED, _OUTBOX.c.target.in_(list(targets)), _OUTBOX.c.next_at <= now)
        .where(sa.or_(_OUTBOX.c.until.is_(None), _OUTBOX.c.until <= now), ~untold)
        .order_by(_OUTBOX.c.created_at, _OUTBOX.c.id)
        .limit(max(limit, 0))
        .with_for_update(skip_locked=True, of=_OUTBOX)
    )
    with database.writing() as connection:
        ids = connection.execute(due).scalars().all()
        if not ids:
            return []
        taken = {"holder": holder, "until": now + timedelta(seconds=seconds), "attempts": _OUTBOX.c.attempts + 1}
        connection.execute(_OUTBOX.update().where(_OUTBOX.c.id.in_(ids)).values(taken))
        rows = sa.select(_OUTBOX).where(_OUTBOX.c.id.in_(ids)).order_by(_OUTBOX.c.created_at, _OUTBOX.c.id)
        return [OutboxRow(**row) for row in connection.execute(rows).mappings()]


def mark_sent(database: Database, id: str, at: datetime) -> bool:
    """Note that a notice arrived; also by a sender whose claim ran out meanwhile, for it did arrive.

    Args:
        database: An open database.
        id: The notice.
        at: When, timezone-aware.

    Returns:
        Whether it was waiting.
    """
    values = {"state": "sent", "holder": None, "until": None, "done_at": at, "last_error": ""}
    return _change(database, values, _OUTBOX.c.id == id) == 1


def postpone(database: Database, id: str, holder: str, next_at: datetime, error: str) -> bool:
    """Note that a try failed, and when the next one is due.

    Args:
        database: An open database.
        id: The notice.
        holder: Who tried.
        next_at: When to try again, timezone-aware.
        error: Why it failed, without secrets.

    Returns:
        Whether the notice was still the holder's.
    """
    values = {"next_at": next_at, "last_error": error, "holder": None, "until": None}
    return _change(database, values, _OUTBOX.c.id == id, _OUTBOX.c.holder == holder) == 1


def give_up(database: Database, id: str, holder: str, at: datetime, error: str) -> bool:
    """Note that a notice will not be tried again.

    Args:
        database: An open database.
        id: The notice.
        holder: Who tried last.
        at: When, timezone-aware.
        error: Why, without secrets.

    Returns:
        Whether the notice was still the holder's.
    """
    values = {"state": "dead", "last_error": error, "holder": None, "until": None, "done_at": at}
    return _change(database, values, _OUTBOX.c.id == id, _OUTBOX.c.holder == holder) == 1


def give_up_strangers(database: Database, targets: Collection[str], before: datetime, at: datetime) -> int:
    """Give up notices to receivers that are in the settings no more, once they are old enough.

    Args:
        database: An open database.
        targets: Names of the receivers that are in the settings.
        before: Only what was put into the outbox before this time.
        at: The time, timezone-aware.

    Returns:
        How many were given up.
    """
    values = {"state": "dead", "last_error": "no receiver of this name is in the settings", "done_at": at}
    unheld = sa.or_(_OUTBOX.c.until.is_(None), _OUTBOX.c.until <= at)
    return _change(database, values, _OUTBOX.c.created_at <= before, _OUTBOX.c.target.not_in(list(targets)), unheld)


def revive(database: Database, id: str, at: datetime) -> None:
    """Try a notice again that was given up, from the beginning.

    Args:
        database: An open database.
        id: The notice.
        at: The time, timezone-aware.

    Raises:
        StoreError: There is no such notice, it was not given up, or the database fails.
    """
    values = {"state": "waiting", "created_at": at, "next_at": at, "attempts": 0, "done_at": None}
    with database.writing() as connection:
        state = connection.execute(sa.select(_OUTBOX.c.state).where(_OUTBOX.c.id == id).with_for_update()).scalar()
        if state is None:
            raise StoreError(f"there is no notice {id[:80]!r} in the outbox: list those that were given up")
        if state != "dead":
            raise StoreError(f"notice {id[:80]!r} is {state}, not given up: leave it to the outbox")
        connection.execute(_OUTBOX.update().where(_OUTBOX.c.id == id).values(values))


def list_rows(database: Database, state: OutboxState | None = None, limit: int = 100) -> list[OutboxRow]:
    """List what is in the outbox.

    Args:
        database: An open database.
        state: Only in this state.
        limit: How many at most.

    Returns:
        The rows, newest first.

    Raises:
        StoreError: There is no such state, or the database fails.
    """
    query = sa.select(_OUTBOX).order_by(_OUTBOX.c.created_at.desc(), _OUTBOX.c.id).limit(max(limit, 0))
    if state is not None:
        if state not in get_args(OutboxState):
            raise StoreError(f"outbox state {state!r} is none of {', '.join(get_args(OutboxState))}")
        query = query.where(_OUTBOX.c.state == state)
    with database.reading() as connection:
        return [OutboxRow(**row) for row in connection.execute(query).mappings()]


def next_due(database: Database, targets: Collection[str]) -> datetime | None:
    """Tell when it is worth looking again.

    Args:
        database: An open database.
        targets: Names of receivers.

    Returns:
        When the next try to one of them is due, possibly past; ``None`` when nothing waits for them.
    """
    free_at = sa.case((_OUTBOX.c.until > _OUTBOX.c.next_at, _OUTBOX.c.until), else_=_OUTBOX.c.next_at)
    query = sa.select(sa.func.min(free_at)).where(schema.UNDELIVERED, _OUTBOX.c.target.in_(list(targets)))
    with database.reading() as connection:
        found: datetime | None = connection.execute(query).scalar()
    return found


def _change(database: Database, values: dict[str, Any], *conditions: sa.ColumnElement[bool]) -> int:
    with database.writing() as connection:
        return connection.execute(_OUTBOX.update().where(schema.UNDELIVERED, *conditions).values(values)).rowcount
