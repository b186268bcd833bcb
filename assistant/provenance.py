"""Where learned things come from: refs that name a conversation, and what is done when that conversation goes away.

A ref is ``transcript:SOURCE_ID/ID`` or ``conversation:ID``. Runs inside the transaction of whoever erases or records:
``store.py`` (a contact is forgotten), ``sources.py`` (a file is removed or replaced), ``learning.py`` (a training set is
noted down). Knows nothing of training itself; a version made from what is gone is noted in ``retraining_due``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from assistant import schema
from assistant.errors import StoreError

#: Why a version has to be trained anew.
ERASED, SOURCE_REMOVED, SOURCE_REPLACED = "erased", "source removed", "source replaced"
_TRANSCRIPT, _CONVERSATION = "transcript:", "conversation:"
_CHUNK = 1_000  # bound values per statement; SQLite takes 32,766
#: Key of PostgreSQL's advisory lock under which refs are written and erased; any number that is ours.
_REFS_LOCK = 0x6465736B68616E65


def transcript_ref(source_id: str, id: str) -> str:
    """Name a past conversation.

    Args:
        source_id: Its source; holds no slash.
        id: Its id in that source.

    Returns:
        ``transcript:SOURCE_ID/ID``.
    """
    return f"{_TRANSCRIPT}{source_id}/{id}"


def conversation_ref(id: str) -> str:
    """Name a live conversation.

    Args:
        id: Its id.

    Returns:
        ``conversation:ID``.
    """
    return f"{_CONVERSATION}{id}"


def one_at_a_time(connection: Connection) -> None:
    """Wait until nobody else writes or erases refs, and keep others waiting until the transaction's end.

    Without it a conversation could be erased between the look whether it is there and the row made from it.
    SQLite has one writer anyway.

    Args:
        connection: A connection to write with.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_REFS_LOCK)))


def refs_of_contact(connection: Connection, contact: str) -> list[str]:
    """List a contact's conversations, live and past.

    Args:
        connection: A connection to read with.
        contact: The contact, exactly as stored.

    Returns:
        Their refs.
    """
    live, past = schema.conversations.c, schema.transcripts.c
    spoken = connection.execute(sa.select(live.id).where(live.contact == contact)).scalars()
    logged = connection.execute(sa.select(past.source_id, past.id).where(past.contact == contact))
    return [*map(conversation_ref, spoken), *(transcript_ref(row.source_id, row.id) for row in logged)]


def refs_of_source(connection: Connection, name: str) -> list[str]:
    """List the conversations of a source.

    Args:
        connection: A connection to read with.
        name: The source's name.

    Returns:
        Their refs; none for an unknown source.
    """
    past, sources = schema.transcripts.c, schema.sources.c
    query = sa.select(past.source_id, past.id).join(schema.sources, sources.id == past.source_id).where(sources.name == name)
    return [transcript_ref(row.source_id, row.id) for row in connection.execute(query)]


def present(connection: Connection, refs: Iterable[str]) -> set[str]:
    """Find which conversations are in the store.

    Args:
        connection: A connection to read with.
        refs: Refs, storable.

    Returns:
        Those whose conversation is there.

    Raises:
        StoreError: A ref is of another form; what it names could never be erased.
    """
    live: list[str] = []
    past: dict[str, list[str]] = {}
    for ref in refs:
        source_id, _, id = ref.removeprefix(_TRANSCRIPT).partition("/")
        if ref.startswith(_CONVERSATION):
            live.append(ref.removeprefix(_CONVERSATION))
        elif ref.startswith(_TRANSCRIPT) and id:
            past.setdefault(source_id, []).append(id)
        else:
            raise StoreError(f"ref {ref[:80]!r} names no conversation: make it with transcript_ref or conversation_ref")
    found: set[str] = set()
    table = schema.conversations
    for ids in _chunks(live):
        found.update(map(conversation_ref, connection.execute(sa.select(table.c.id).where(table.c.id.in_(ids))).scalars()))
    rows = schema.transcripts.c
    for source_id, wanted in past.items():
        for ids in _chunks(wanted):
            query = sa.select(rows.id).where(rows.source_id == source_id, rows.id.in_(ids))
            found.update(transcript_ref(source_id, id) for id in connection.execute(query).scalars())
    return found


def let_go(connection: Connection, refs: Sequence[str], reason: str, at: datetime | None) -> None:
    """Delete what was learned from conversations that go away, and note which versions have to be trained anew.

    Args:
        connection: A connection to write with, after ``one_at_a_time``.
        refs: The conversations.
        reason: Why they go.
        at: When, timezone-aware; ``None`` when nobody said.
    """
    uses = schema.training_uses
    for chunk in _chunks(refs):
        made = sa.select(uses.c.task, uses.c.version).where(uses.c.ref.in_(chunk)).distinct()
        for task, version in connection.execute(made).all():
            note_due(connection, task, version, reason, at)
        for table in (uses, schema.regression_cases, schema.review_queue):
            connection.execute(table.delete().where(table.c.ref.in_(chunk)))


def carry_over(connection: Connection, before: Sequence[str], source_id: str, at: datetime) -> None:
    """Point what was learned from a replaced source at its successor, and let go of what that no longer holds.

    A conversation keeps its id from one export of a log to the next; only its source is another.

    Args:
        connection: A connection to write with, after ``one_at_a_time``; the successor is stored.
        before: Refs of the replaced source.
        source_id: The successor's id.
        at: When it was replaced, timezone-aware.
    """
    ids = {ref: ref.removeprefix(_TRANSCRIPT).partition("/")[2] for ref in before}
    kept = present(connection, [transcript_ref(source_id, id) for id in ids.values()])
    let_go(connection, [ref for ref, id in ids.items() if transcript_ref(source_id, id) not in kept], SOURCE_REPLACED, at)
    # The same characters are cut from every ref, as all are of one source.
    start = len(before[0]) - len(ids[before[0]]) + 1 if before else 1
    for chunk in _chunks([ref for ref, id in ids.items() if transcript_ref(source_id, id) in kept]):
        for table in (schema.training_uses, schema.regression_cases, schema.review_queue):
            moved = sa.literal(transcript_ref(source_id, "")).concat(sa.func.substr(table.c.ref, start))
            connection.execute(table.update().where(table.c.ref.in_(chunk)).values(ref=moved))


def note_due(connection: Connection, task: str, version: str, reason: str, at: datetime | None) -> None:
    """Note that a version has to be trained anew; a second time for the same reason changes nothing.

    Args:
        connection: A connection to write with.
        task: The version's task.
        version: Its name.
        reason: Why.
        at: Since when, timezone-aware; ``None`` when nobody said.
    """
    row = {"task": task, "version": version, "reason": reason, "at": at}
    connection.execute(schema.insert_into(connection, schema.retraining_due).values(row).on_conflict_do_nothing())


def _chunks(values: Collection[str]) -> Iterator[list[str]]:
    listed = list(values)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]
