"""What was ingested: whole files go into the store or come out of it, in one transaction each.

Knows transcripts, articles and templates as rows. Does not read files (``transcripts.py`` comes before) nor cut passages
(``retrieval/`` comes after). A file is first written row by row to a scratch file and only then to the database: what
the reader of a 100 MB log raises half way leaves nothing behind, and the database is locked for the insert alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from typing import IO, Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from assistant import provenance, schema
from assistant.database import Database
from assistant.errors import StoreError
from assistant.records import Article, Template, Transcript, TranscriptTurn

BATCH_ROWS = 2_000
_RATING_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One ingested file or folder; ``name`` is how people call it, ``sha256`` the hash of its bytes.

    ``counts`` has ``transcripts``, ``turns``, ``articles`` and ``templates``; the store fills it in.
    """

    id: str
    name: str
    kind: str
    sha256: str
    format: str
    ingested_at: datetime
    counts: dict[str, int] = field(default_factory=dict)


def list_sources(database: Database, since: datetime | None = None) -> list[SourceRecord]:
    """List what was ingested, oldest first.

    Args:
        database: An open database.
        since: Only what was ingested after this time.

    Returns:
        The sources.
    """
    query = sa.select(schema.sources).order_by(schema.sources.c.ingested_at, schema.sources.c.name)
    if since is not None:
        query = query.where(schema.sources.c.ingested_at > since)
    with database.reading() as connection:
        return [SourceRecord(**row) for row in connection.execute(query).mappings()]


def find_source(database: Database, sha256: str) -> SourceRecord | None:
    """Find the source whose bytes have this hash.

    Args:
        database: An open database.
        sha256: Hash of the file.

    Returns:
        The source, or ``None`` when no such file was ingested.
    """
    query = sa.select(schema.sources).where(schema.sources.c.sha256 == sha256)
    with database.reading() as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else SourceRecord(**row)


def add_source(
    database: Database,
    source: SourceRecord,
    transcripts: Iterable[Transcript],
    articles: Iterable[Article],
    templates: Iterable[Template],
    *,
    replaces: str | None,
) -> dict[str, int]:
    """Store one file's content: all of it, or nothing when anything fails, the iterables included.

    Args:
        database: An open database.
        source: The file; its ``counts`` are ignored.
        transcripts: Its conversations, read once and never held whole in memory; their ids are unique in the file.
        articles: Its articles, likewise.
        templates: Its templates, likewise.
        replaces: Name of the source that goes away in the same transaction; nothing happens if there is none. What was
            learned from its conversations stays with those that the new one has too, by their ids.

    Returns:
        How many ``transcripts``, ``turns``, ``articles`` and ``templates`` were stored.

    Raises:
        StoreError: The name or the content is there already, an id stands twice, or the database fails.
    """
    with ExitStack() as stack:
        spools = {
            table: _Spool(table, stack.enter_context(tempfile.TemporaryFile("w+b")))
            for table in (schema.transcripts, schema.transcript_turns, schema.articles, schema.templates)
        }
        for position, transcript in enumerate(transcripts):
            spools[schema.transcripts].add(_transcript_row(source.id, position, transcript))
            for place, turn in enumerate(transcript.turns):
                row = {"role": turn.role, "text": turn.text, "at": turn.at}
                spools[schema.transcript_turns].add(
                    {"source_id": source.id, "transcript_id": transcript.id, "position": place, **row}
                )
        for position, article in enumerate(articles):
            spools[schema.articles].add({"source_id": source.id, "position": position, **_fields(article)})
        for position, template in enumerate(templates):
            spools[schema.templates].add({"source_id": source.id, "position": position, **_fields(template)})

        counts = {
            "transcripts": spools[schema.transcripts].rows,
            "turns": spools[schema.transcript_turns].rows,
            "articles": spools[schema.articles].rows,
            "templates": spools[schema.templates].rows,
        }
        with database.writing() as connection:
            before: list[str] = []
            if replaces is not None:
                provenance.one_at_a_time(connection)
                before = provenance.refs_of_source(connection, replaces)
                connection.execute(schema.sources.delete().where(schema.sources.c.name == replaces))
            _refuse_known(connection, source)
            connection.execute(schema.sources.insert(), {**_fields(source), "counts": counts})
            for table, spool in spools.items():
                try:
                    for batch in spool.batches():
                        connection.execute(table.insert(), batch)
                except IntegrityError as error:
                    raise StoreError(f"{source.name}: {spool.repeated()}; nothing of it was kept") from error
            provenance.carry_over(connection, before, source.id, source.ingested_at)
    return counts


def remove_source(database: Database, name: str, at: datetime | None = None) -> bool:
    """Take a source and everything that came from it or was learned from it out of the store.

    Every adapter version that was trained on it is noted as due to be trained anew (``Learning.due``).

    Args:
        database: An open database.
        name: The source's name.
        at: The time, timezone-aware, for that note.

    Returns:
        Whether there was such a source.
    """
    with database.writing() as connection:
        provenance.one_at_a_time(connection)
        provenance.let_go(connection, provenance.refs_of_source(connection, name), provenance.SOURCE_REMOVED, at)
        return connection.execute(schema.sources.delete().where(schema.sources.c.name == name)).rowcount > 0


def iter_transcripts(database: Database, source_id: str | None = None) -> Iterator[Transcript]:
    """Read the stored conversations one at a time, as they stood in their files.

    Args:
        database: An open database.
        source_id: Only those of this source.

    Yields:
        Transcripts, oldest source first; all from one state of the database.
    """
    past, turns = schema.transcripts, schema.transcript_turns
    both = past.outerjoin(turns, (turns.c.source_id == past.c.source_id) & (turns.c.transcript_id == past.c.id))
    columns: tuple[Any, ...] = (
        past,
        turns.c.role.label("turn_role"),
        turns.c.text.label("turn_text"),
        turns.c.at.label("turn_at"),
    )
    query = sa.select(*columns).select_from(both).order_by(past.c.position, turns.c.position)
    for rows in _by_source(database, query, past, source_id):
        for _, group in groupby(rows, key=lambda row: row["position"]):
            lines = list(group)
            said = (TranscriptTurn(row["turn_role"], row["turn_text"], row["turn_at"]) for row in lines)
            first = {key: lines[0][key] for key in _TRANSCRIPT_FIELDS}
            yield Transcript(turns=tuple(said) if lines[0]["turn_role"] is not None else (), **first)


def iter_articles(database: Database, source_id: str | None = None) -> Iterator[Article]:
    """Read the stored articles one at a time, as they stood in their files.

    Args:
        database: An open database.
        source_id: Only those of this source.

    Yields:
        Articles, oldest source first; all from one state of the database.
    """
    query = sa.select(schema.articles).order_by(schema.articles.c.position)
    for rows in _by_source(database, query, schema.articles, source_id):
        for row in rows:
            yield Article(**{key: row[key] for key in Article.__dataclass_fields__})


def iter_templates(database: Database, source_id: str | None = None) -> Iterator[Template]:
    """Read the stored templates one at a time, as they stood in their files.

    Args:
        database: An open database.
        source_id: Only those of this source.

    Yields:
        Templates, oldest source first; all from one state of the database.
    """
    query = sa.select(schema.templates).order_by(schema.templates.c.position)
    for rows in _by_source(database, query, schema.templates, source_id):
        for row in rows:
            known = {key: row[key] for key in Template.__dataclass_fields__}
            yield Template(**{**known, "required_slots": tuple(known["required_slots"])})


_TRANSCRIPT_FIELDS = ("id", "where", "lang", "contact", "resolved", "rating", "intent", "started_at", "channel")


class _Spool:
    """Rows of one table on their way to the database, kept in a nameless scratch file."""

    def __init__(self, table: sa.Table, file: IO[bytes]) -> None:
        self.rows = 0
        self._keys = [column.name for column in table.primary_key]
        self._moments = [column.name for column in table.c if isinstance(column.type, schema.Moment)]
        self._file = file

    def add(self, row: dict[str, Any]) -> None:
        for name in self._moments:
            if row[name] is not None and row[name].tzinfo is None:
                raise StoreError(f"{row.get('where', row)}: time {row[name].isoformat()} has no time zone; give it one, e.g. UTC")
        self._file.write(orjson.dumps(schema.storable_json(row)) + b"\n")
        self.rows += 1

    def read(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        for line in self._file:
            row: dict[str, Any] = orjson.loads(line)
            for name in self._moments:
                row[name] = datetime.fromisoformat(row[name]) if row[name] is not None else None
            yield row

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        rows = self.read()
        while batch := list(islice(rows, BATCH_ROWS)):
            yield batch

    def repeated(self) -> str:
        """Say which key stands twice; only asked for once the database has refused the rows."""
        seen: dict[tuple[Any, ...], str] = {}
        for row in self.read():
            key = tuple(row[name] for name in self._keys)
            if key in seen:
                return f"{row.get('where', '')}: id {key[1]!r} stands already at {seen[key]}; give each its own id"
            seen[key] = str(row.get("where", ""))
        return "the database refused a row"


def _fields(record: SourceRecord | Article | Template) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _transcript_row(source_id: str, position: int, transcript: Transcript) -> dict[str, Any]:
    rating = transcript.rating
    if rating is not None and not -_RATING_LIMIT <= rating < _RATING_LIMIT:
        raise StoreError(f"{transcript.where}: rating {rating} is out of range; mend or empty that field")
    return {"source_id": source_id, "position": position, **{name: getattr(transcript, name) for name in _TRANSCRIPT_FIELDS}}


def _refuse_known(connection: Connection, source: SourceRecord) -> None:
    table = schema.sources
    same = sa.or_(table.c.name == source.name, table.c.sha256 == source.sha256, table.c.id == source.id)
    known = connection.execute(sa.select(table.c.name).where(same)).scalars().first()
    if known is not None:
        raise StoreError(f"{source.name} is in the store already, as {known}: remove that first, or replace it")


def _by_source(
    database: Database, query: sa.Select[Any], table: sa.Table, source_id: str | None
) -> Iterator[Iterator[sa.RowMapping]]:
    """Run a query once for each source, oldest first, streaming its rows."""
    listed = sa.select(schema.sources.c.id).order_by(schema.sources.c.ingested_at, schema.sources.c.name)
    if source_id is not None:
        listed = listed.where(schema.sources.c.id == source_id)
    with database.reading() as connection:
        for found in connection.execute(listed).scalars().all():
            with connection.execution_options(yield_per=BATCH_ROWS).execute(query.where(table.c.source_id == found)) as result:
                yield iter(result.mappings())
