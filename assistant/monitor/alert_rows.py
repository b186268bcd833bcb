"""Alerts in the store: raised once whatever monitor sees them first, acknowledged, resolved, joined by further streams.

Rows in and out, each change together with the notices that tell of it, in one transaction. Does not know why an alert is
raised nor how a notice travels (``outbox.py``). An alert's details name messages by id and hold none of their text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from assistant import schema
from assistant.database import Database
from assistant.errors import StoreError
from assistant.monitor.events import Alert, AlertState, Signal
from assistant.monitor.outbox_rows import Notice, enqueue

_ALERTS = schema.alerts


def raise_alert(database: Database, alert: Alert, notices: Iterable[Notice] = ()) -> bool:
    """Store an alert and what is to be told of it; of several that raise it, one does.

    Args:
        database: An open database.
        alert: The alert.
        notices: To whom it is told; see ``outbox_rows.Notice``.

    Returns:
        Whether it is new; where its id is there already nothing is written.

    Raises:
        StoreError: There is no such state, or the database fails.
    """
    _refuse_unknown_state(alert.state)
    with database.writing() as connection:
        once = schema.insert_into(connection, _ALERTS).values(_row(alert)).on_conflict_do_nothing(index_elements=["id"])
        if connection.execute(once.returning(_ALERTS.c.id)).first() is None:
            return False
        enqueue(connection, alert.id, notices)
    return True


def list_alerts(
    database: Database,
    state: AlertState | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    topic: str | None = None,
) -> list[Alert]:
    """List alerts.

    Args:
        database: An open database.
        state: Only in this state.
        since: Only opened at this time or later.
        until: Only opened before this time.
        topic: Only of this topic.

    Returns:
        The alerts, newest first.

    Raises:
        StoreError: There is no such state, or the database fails.
    """
    query = sa.select(_ALERTS).order_by(_ALERTS.c.opened_at.desc(), _ALERTS.c.id)
    if state is not None:
        _refuse_unknown_state(state)
        query = query.where(_ALERTS.c.state == state)
    if since is not None:
        query = query.where(_ALERTS.c.opened_at >= since)
    if until is not None:
        query = query.where(_ALERTS.c.opened_at < until)
    if topic is not None:
        query = query.where(_ALERTS.c.topic == topic)
    with database.reading() as connection:
        return [_alert(row) for row in connection.execute(query).mappings()]


def find_alert(database: Database, id: str) -> Alert | None:
    """Find an alert.

    Args:
        database: An open database.
        id: Its id.

    Returns:
        The alert, or ``None`` when there is none of that id.
    """
    with database.reading() as connection:
        row = connection.execute(sa.select(_ALERTS).where(_ALERTS.c.id == id)).mappings().first()
    return None if row is None else _alert(row)


def acknowledge(database: Database, id: str, by: str, at: datetime, notices: Iterable[Notice] = ()) -> bool:
    """Note that a person took an open alert; a second time changes nothing and tells nobody.

    Args:
        database: An open database.
        id: The alert.
        by: Who took it.
        at: When, timezone-aware.
        notices: To whom it is told.

    Returns:
        Whether it was open.

    Raises:
        StoreError: There is no such alert, it is resolved, nobody is named, or the database fails.
    """
    _refuse_nobody(id, by)
    with database.writing() as connection:
        alert = _locked(connection, id)
        if alert.state == "acknowledged":
            return False
        if alert.state == "resolved":
            raise StoreError(f"alert {id[:80]!r} is resolved already, by {alert.resolved_by}: there is nothing to acknowledge")
        values = {"state": "acknowledged", "acknowledged_at": at, "acknowledged_by": by}
        connection.execute(_ALERTS.update().where(_ALERTS.c.id == id).values(values))
        enqueue(connection, id, notices)
    return True


def resolve(database: Database, id: str, by: str, at: datetime, notices: Iterable[Notice] = ()) -> bool:
    """Note that an alert is over, acknowledged or not; a second time changes nothing and tells nobody.

    Args:
        database: An open database.
        id: The alert.
        by: A person, or ``recovery``.
        at: When, timezone-aware.
        notices: To whom it is told; who was never told that it opened is not told that it is over.

    Returns:
        Whether it was not resolved before.

    Raises:
        StoreError: There is no such alert, nobody is named, or the database fails.
    """
    _refuse_nobody(id, by)
    with database.writing() as connection:
        if _locked(connection, id).state == "resolved":
            return False
        values = {"state": "resolved", "resolved_at": at, "resolved_by": by}
        connection.execute(_ALERTS.update().where(_ALERTS.c.id == id).values(values))
        enqueue(connection, id, _to_the_told(connection, id, notices))
    return True


def attach(database: Database, id: str, also: Iterable[str], notices: Iterable[Notice] = ()) -> bool:
    """Note further streams that turned for an alert's cause; one that is noted already changes nothing.

    Args:
        database: An open database.
        id: The alert.
        also: The streams, as ``topic/locale``.
        notices: To whom it is told, if anything is new; who was never told of the alert is not told.

    Returns:
        Whether anything was new.

    Raises:
        StoreError: There is no such alert, it is resolved, or the database fails.
    """
    with database.writing() as connection:
        alert = _locked(connection, id)
        known = {f"{alert.topic}/{alert.locale}", *alert.also}
        fresh = [stream for stream in dict.fromkeys(also) if stream not in known]
        if not fresh:
            return False
        if alert.state == "resolved":
            raise StoreError(f"alert {id[:80]!r} is resolved already, so {fresh[0]!r} cannot join it: raise an alert of its own")
        connection.execute(_ALERTS.update().where(_ALERTS.c.id == id).values(also=[*alert.also, *fresh]))
        enqueue(connection, id, _to_the_told(connection, id, notices))
    return True


def announce(database: Database, id: str, notices: Iterable[Notice]) -> bool:
    """Tell of an alert that was raised without telling, unless it is over; whoever was told of it is not told twice.

    Args:
        database: An open database.
        id: The alert.
        notices: To whom it is told.

    Returns:
        Whether it stands.

    Raises:
        StoreError: There is no such alert, or the database fails.
    """
    with database.writing() as connection:
        if _locked(connection, id).state == "resolved":
            return False
        enqueue(connection, id, notices)
    return True


def renew(database: Database, id: str, details: Mapping[str, Any]) -> bool:
    """Put another explanation in the place of an alert's; one that is resolved keeps what it has.

    Args:
        database: An open database.
        id: The alert.
        details: Of ``explain``.

    Returns:
        Whether it was written.

    Raises:
        StoreError: There is no such alert, or the database fails.
    """
    with database.writing() as connection:
        if _locked(connection, id).state == "resolved":
            return False
        connection.execute(_ALERTS.update().where(_ALERTS.c.id == id).values(details=dict(details)))
    return True


def _to_the_told(connection: Connection, id: str, notices: Iterable[Notice]) -> list[Notice]:
    """Return the notices to those who were told of the alert before."""
    told = set(connection.execute(sa.select(schema.outbox.c.target).where(schema.outbox.c.alert_id == id)).scalars())
    return [notice for notice in notices if notice.target in told]


def _locked(connection: Connection, id: str) -> Alert:
    """Read an alert that will be changed; another transaction waits for this one to end."""
    row = connection.execute(sa.select(_ALERTS).where(_ALERTS.c.id == id).with_for_update()).mappings().first()
    if row is None:
        raise StoreError(f"there is no alert {id[:80]!r} in the store: check the id against the list of alerts")
    return _alert(row)


def _row(alert: Alert) -> dict[str, Any]:
    return {
        **{field.name: getattr(alert, field.name) for field in fields(alert)},
        "signal": {**asdict(alert.signal), "at": alert.signal.at.isoformat(), "since": alert.signal.since.isoformat()},
        "also": list(alert.also),
    }


def _alert(row: sa.RowMapping) -> Alert:
    seen = row["signal"]
    moments = {name: datetime.fromisoformat(seen[name]) for name in ("at", "since")}
    return Alert(**{**row, "signal": Signal(**{**seen, **moments}), "also": tuple(row["also"])})


def _refuse_unknown_state(state: str) -> None:
    if state not in get_args(AlertState):
        raise StoreError(f"alert state {state!r} is none of {', '.join(get_args(AlertState))}")


def _refuse_nobody(id: str, by: str) -> None:
    if not by.strip():
        raise StoreError(f"nobody is named for alert {id[:80]!r}: say who acknowledges or resolves it")
