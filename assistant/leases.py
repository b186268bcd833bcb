"""Leases: a name that one process holds for a while, so that two replicas never run the same job at once.

A row with a holder and an end. A holder that was killed loses the lease when its time is up; nobody has to clean up.
Knows nothing of what is run under a lease. Clocks of replicas should agree to well within a lease's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from assistant import schema
from assistant.database import Database
from assistant.errors import StoreError


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a name, and until when; it is free from ``until`` on."""

    name: str
    holder: str
    until: datetime


def take_lease(database: Database, name: str, holder: str, now: datetime, seconds: float) -> bool:
    """Take a lease that is free or run out, or renew one's own.

    One statement that inserts or updates, so that of many callers at once exactly one wins.

    Args:
        database: An open database.
        name: What is leased, such as ``retrain``.
        holder: Who takes it; unique to the process.
        now: The time, timezone-aware.
        seconds: For how long, above 0.

    Returns:
        Whether the lease is the holder's now.

    Raises:
        StoreError: The time is not above 0, or the database fails.
    """
    if not seconds > 0:
        raise StoreError(f"lease {name!r} for {seconds} s would be run out at once: ask for more than 0 seconds")
    table, until = schema.leases, now + timedelta(seconds=seconds)
    with database.writing() as connection:
        insert = schema.insert_into(connection, table).values(name=name, holder=holder, until=until)
        taken = insert.on_conflict_do_update(
            index_elements=[table.c.name],
            set_={"holder": holder, "until": until},
            where=sa.or_(table.c.until <= now, table.c.holder == holder),
        )
        return connection.execute(taken.returning(table.c.name)).first() is not None


def release_lease(database: Database, name: str, holder: str) -> bool:
    """Give a lease back before its time; a lease of another holder is left alone.

    Args:
        database: An open database.
        name: What was leased.
        holder: Who took it.

    Returns:
        Whether the holder had it.
    """
    table = schema.leases
    with database.writing() as connection:
        return connection.execute(table.delete().where(table.c.name == name, table.c.holder == holder)).rowcount == 1


def find_lease(database: Database, name: str) -> Lease | None:
    """Find who took a lease last and did not give it back.

    Args:
        database: An open database.
        name: What is leased.

    Returns:
        The lease, even if it has run out, or ``None``.
    """
    with database.reading() as connection:
        row = connection.execute(sa.select(schema.leases).where(schema.leases.c.name == name)).mappings().first()
    return None if row is None else Lease(**row)
