"""Readings: what the adapters made of customers' turns in past conversations, and which turns wait to be read.

Reading them is not known here, nor what the readings tell; ``event_rows.py`` streams them together with live messages,
which were understood when they came. A turn is named ``transcript:SOURCE_ID/ID#POSITION``. One without a time of its own or
of its conversation has no place in a trend and is never asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from assistant import provenance, schema
from assistant.database import Database
from assistant.errors import StoreError

#: How the id of a past turn begins; no live message's does.
PAST = provenance.transcript_ref("", "")[:-1]
_CHUNK = 500  # keys per statement; SQLite takes 32,766 values


@dataclass(frozen=True, slots=True)
class UnreadTurn:
    """A customer's turn of a past conversation; ``id`` is the id of its event, ``lang`` what the log says, if anything."""

    id: str
    conversation: str
    at: datetime
    text: str
    lang: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the adapters made of a past turn; ``id`` is that of the ``UnreadTurn``, the rest is as in ``Event``."""

    id: str
    topic: str
    locale: str
    negative: float
    positive: float
    version: str
    intent_version: str = ""
    emotions: dict[str, float] = field(default_factory=dict)


def unread_turns(database: Database, version: str, limit: int, after: str | None = None) -> list[UnreadTurn]:
    """List customers' turns of past conversations that this version has not read yet.

    Args:
        database: An open database.
        version: Version of the sentiment adapter.
        limit: How many at most.
        after: Id of the last turn of the list before, so that going on does not begin at the beginning.

    Returns:
        The turns, in the order of their keys; each has a time.

    Raises:
        StoreError: ``after`` is no such id, or the database fails.
    """
    turns, past = schema.transcript_turns, schema.transcripts
    key = (turns.c.source_id, turns.c.transcript_id, turns.c.position)
    query = _unread(version, *key, _WRITTEN_AT, turns.c.text, past.c.lang).order_by(*key).limit(max(limit, 0))
    if after is not None:
        query = query.where(sa.tuple_(*key) > sa.tuple_(*_key(after), types=[column.type for column in key]))
    with database.reading() as connection:
        return [
            UnreadTurn(turn_id(source, id, position), provenance.transcript_ref(source, id), at, text, lang)
            for source, id, position, at, text, lang in connection.execute(query)
        ]


def count_unread(database: Database, version: str) -> int:
    """Count the past turns that a sentiment adapter's version has not read.

    Args:
        database: An open database.
        version: The adapter's version; an empty one reads nothing.

    Returns:
        How many ``unread_turns`` would list.

    Raises:
        StoreError: The database fails.
    """
    if not version:
        return 0
    with database.reading() as connection:
        return int(connection.execute(_unread(version, sa.func.count())).scalar_one())


def add_readings(database: Database, readings: Iterable[Reading]) -> int:
    """Put away what the adapters made of past turns, each in place of an earlier reading; twice is the same as once.

    Args:
        database: An open database.
        readings: The readings; one whose turn is gone from the store is left out, so that nothing outlives it.

    Returns:
        How many were kept.

    Raises:
        StoreError: An id names no turn, a probability is none, or the database fails; of the failing chunk nothing is kept.
    """
    waiting, kept = iter(readings), 0
    while chunk := {_key(reading.id): _checked(reading) for reading in islice(waiting, _CHUNK)}:
        with database.writing() as connection:
            moments = _moments(connection, list(chunk))
            rows = [
                {"source_id": key[0], "transcript_id": key[1], "position": key[2], "at": moments[key], **_fields(reading)}
                for key, reading in chunk.items()
                if key in moments
            ]
            if rows:
                insert = schema.insert_into(connection, schema.readings)
                fresh = {name: insert.excluded[name] for name in rows[0]}
                connection.execute(
                    insert.on_conflict_do_update(index_elements=["source_id", "transcript_id", "position"], set_=fresh), rows
                )
            kept += len(rows)
    return kept


def turn_keys(ids: Iterable[str]) -> dict[tuple[str, str, int], str]:
    """Tell the ids of past turns from those of live messages.

    Args:
        ids: Ids of events.

    Returns:
        The id of each past turn by source, conversation and position.
    """
    return {_key(id): id for id in ids if id.startswith(PAST)}


def turn_id(source_id: str, transcript_id: str, position: int) -> str:
    """Name a past turn.

    Args:
        source_id: Its source.
        transcript_id: Its conversation in that source.
        position: Its place in the conversation, from 0.

    Returns:
        The id of its event; padded, so that turns of one moment come in their order.
    """
    return f"{provenance.transcript_ref(source_id, transcript_id)}#{position:04d}"


_WRITTEN_AT = sa.func.coalesce(schema.transcript_turns.c.at, schema.transcripts.c.started_at)


def _unread(version: str, *columns: Any) -> sa.Select[Any]:
    """Select columns of the customers' turns with a time that a version has not read."""
    turns, past, read = schema.transcript_turns, schema.transcripts, schema.readings
    return (
        sa.select(*columns)
        .select_from(turns)
        .join(past, sa.and_(past.c.source_id == turns.c.source_id, past.c.id == turns.c.transcript_id))
        .outerjoin(read, sa.and_(same_turn(read, turns), read.c.version == version))
        .where(turns.c.role == "customer", read.c.source_id.is_(None), _WRITTEN_AT.is_not(None))
    )


def same_turn(one: sa.Table, other: sa.Table) -> sa.ColumnElement[bool]:
    """Join two tables that are keyed by the turns of past conversations.

    Args:
        one: ``readings`` or ``transcript_turns``.
        other: The other of them.

    Returns:
        The condition.
    """
    return sa.and_(*(one.c[name] == other.c[name] for name in ("source_id", "transcript_id", "position")))


def among(turns: sa.Table, keys: Collection[tuple[str, str, int]]) -> sa.ColumnElement[bool]:
    """Narrow a query down to some turns.

    PostgreSQL looks a list of whole keys up by reading the table, so this asks for a little more than the keys.

    Args:
        turns: ``transcript_turns``.
        keys: Source, conversation and position of each.

    Returns:
        A condition that these turns fulfil, and possibly others of the same conversations: compare their keys.
    """
    by_source: dict[str, tuple[set[str], set[int]]] = {}
    for source_id, id, position in keys:
        ids, positions = by_source.setdefault(source_id, (set(), set()))
        ids.add(id)
        positions.add(position)
    places = [
        sa.and_(turns.c.source_id == source_id, turns.c.transcript_id.in_(sorted(ids)), turns.c.position.in_(sorted(positions)))
        for source_id, (ids, positions) in by_source.items()
    ]
    return sa.or_(sa.false(), *places)


def _key(id: str) -> tuple[str, str, int]:
    source_id, _, rest = schema.storable(id).removeprefix(PAST).partition("/")
    transcript_id, _, position = rest.rpartition("#")
    if not (
        id.startswith(PAST) and source_id and transcript_id and position.isascii() and position.isdecimal() and len(position) < 10
    ):
        raise StoreError(f"{id[:80]!r} is no turn of a past conversation: take the id of an UnreadTurn")
    return source_id, transcript_id, int(position)


def _checked(reading: Reading) -> Reading:
    for name, value in (("negative", reading.negative), ("positive", reading.positive), *reading.emotions.items()):
        if not 0.0 <= value <= 1.0:
            raise StoreError(f"reading of {reading.id[:80]!r}: {name} {value} is no probability: give one in [0, 1]")
    return reading


def _fields(reading: Reading) -> dict[str, Any]:
    return {name: getattr(reading, name) for name in reading.__dataclass_fields__}


def _moments(connection: Connection, keys: list[tuple[str, str, int]]) -> dict[tuple[str, str, int], datetime]:
    """Find when these turns were said, those that are there and have a time; they stay until the transaction's end."""
    turns, past = schema.transcript_turns, schema.transcripts
    columns = (turns.c.source_id, turns.c.transcript_id, turns.c.position)
    moment = sa.func.coalesce(turns.c.at, past.c.started_at)
    query = (
        sa.select(*columns, moment)
        .join(past, sa.and_(past.c.source_id == turns.c.source_id, past.c.id == turns.c.transcript_id))
        .where(among(turns, keys), moment.is_not(None))
        .with_for_update(read=True, key_share=True)
    )
    wanted = set(keys)
    found = {(source, id, position): at for source, id, position, at in connection.execute(query)}
    return {key: at for key, at in found.items() if key in wanted}
