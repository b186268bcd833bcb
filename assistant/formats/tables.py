"""CSV logs -> transcripts: one row per turn with a column map, or Bitext pairs.

Knows delimiters, quoting and the columns of the settings. Rows of one conversation may lie apart only in files below 64 MiB,
because then the file has to be held; larger ones are streamed and must be sorted by conversation.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assistant.errors import TranscriptError
from assistant.formats.chats import read_bitext
from assistant.formats.fields import ROLES, label, moment, rating_of, text_of, transcript, truth
from assistant.formats.rows import BadRow, Broken, Unreadable, text_lines
from assistant.records import Role, Transcript, TranscriptTurn
from assistant.settings import CsvColumns

DELIMITERS = ",;\t"
MERGE_BELOW = 64 << 20
_MAX_FIELD = 8 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """The first row of a CSV file: its delimiter and its columns."""

    delimiter: str
    columns: tuple[str, ...]
    kind: str  # "csv", "bitext", or "" when it is neither


@dataclass(frozen=True, slots=True)
class _Row:
    where: str
    values: Mapping[str, str]


@dataclass(slots=True)
class _Open:
    """A conversation that is still being collected."""

    where: str
    turns: list[TranscriptTurn] = field(default_factory=list)
    contact: str | None = None
    resolved: bool | None = None
    rating: int | None = None


def header_of(path: Path, columns: CsvColumns) -> Header:
    """Find the delimiter by which the first row makes most sense.

    Args:
        path: The file, plain or gzip.
        columns: The column map of the settings.

    Returns:
        The header; its kind is empty when the columns of neither form are there.

    Raises:
        Unreadable: If the gzip file is damaged before its first line ends.
    """
    first = next(text_lines(path), "").strip("\r\n")
    wanted = {columns.conversation, columns.role, columns.text}
    best = Header(",", (), "")
    for delimiter in DELIMITERS:
        try:
            names = tuple(name.strip() for name in next(csv.reader([first], delimiter=delimiter), []))
        except csv.Error:
            continue
        if wanted <= set(names):
            return Header(delimiter, names, "csv")
        if {"instruction", "response"} <= set(names):
            return Header(delimiter, names, "bitext")
        best = max(best, Header(delimiter, names, ""), key=lambda header: len(header.columns))
    return best


def read_table(path: Path, columns: CsvColumns, limit: int) -> Iterator[Transcript | BadRow]:
    """Read a CSV log.

    Args:
        path: The file, plain or gzip.
        columns: Which column holds what; roles are looked up in its two lists first.
        limit: Texts are cut to this many characters.

    Yields:
        Conversations in the order in which they begin, and the rows that could not be used.

    Raises:
        TranscriptError: If columns are missing, or a large file is not sorted by conversation.
        Unreadable: If the rest of the file makes no sense.
    """
    header = header_of(path, columns)
    if header.kind == "bitext":
        for row in _rows(path, header):
            yield row if isinstance(row, BadRow) else _attempt_pair(row, limit)
        return
    optional = (columns.at, columns.contact, columns.resolved, columns.rating)
    named = [name for name in (columns.conversation, columns.role, columns.text, *optional) if name]
    missing = [name for name in named if name not in header.columns]
    if missing:
        found = ", ".join(header.columns[:12])
        what = f"column {', '.join(missing)} not found among: {found}"
        raise TranscriptError(f"{path}:1: {what}; name your columns under [ingest.csv] in the settings")
    scattered = _scattered(path, header, columns.conversation)
    yield from _conversations(_rows(path, header), columns, limit, hold=scattered)


def _attempt_pair(row: _Row, limit: int) -> Transcript | BadRow:
    try:
        return read_bitext(row.values, row.where, limit)
    except Broken as error:
        return BadRow(row.where, str(error))


def _rows(path: Path, header: Header) -> Iterator[_Row | BadRow]:
    """Give each row after the header; a row over several lines is named by its first."""
    csv.field_size_limit(max(_MAX_FIELD, csv.field_size_limit()))
    reader = csv.reader(text_lines(path), delimiter=header.delimiter, strict=True)
    width = len(header.columns)
    while True:
        line = reader.line_num + 1
        where = f"{path}:{line}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(where, f"not CSV: {error}; double the quotes inside a quoted text")
            continue
        if line == 1 or not any(cells):
            continue
        if any("\udc80" <= char <= "\udcff" for cell in cells if not cell.isascii() for char in cell):
            yield BadRow(where, "not UTF-8; save the file as UTF-8")
        elif len(cells) != width:
            mend = f"quote texts that contain {header.delimiter!r}"
            yield BadRow(where, f"{len(cells)} fields where the header has {width}; {mend}")
        else:
            yield _Row(where, dict(zip(header.columns, cells, strict=True)))


def _scattered(path: Path, header: Header, column: str) -> bool:
    """Tell whether some conversation's rows lie apart; refuse that in a large file before anything is given out."""
    seen: set[str] = set()
    last, again, size = "", "", 0
    try:
        for row in _rows(path, header):
            if isinstance(row, BadRow):
                continue
            id = row.values[column].strip()
            size += sum(map(len, row.values.values()))
            if id and id != last:
                again = again or (f"{row.where}: conversation {id!r}" if id in seen else "")
                seen.add(id)
                last = id
            if again and size > MERGE_BELOW:
                raise TranscriptError(f"{again} comes back after another one; sort the file by {column}, or split it")
    except Unreadable:
        pass  # the second reading reports it in its place
    return bool(again)


def _conversations(
    rows: Iterable[_Row | BadRow], columns: CsvColumns, limit: int, *, hold: bool
) -> Iterator[Transcript | BadRow]:
    roles: dict[str, Role] = {**ROLES}
    roles.update(dict.fromkeys((name.lower() for name in columns.customer_roles), "customer"))
    roles.update(dict.fromkeys((name.lower() for name in columns.agent_roles), "agent"))
    held: dict[str, _Open] = {}
    last = ""
    try:
        for row in rows:
            if isinstance(row, BadRow):
                yield row
                continue
            id = row.values[columns.conversation].strip()
            if not id:
                yield BadRow(row.where, f"no conversation id in column {columns.conversation}")
                continue
            if not hold and held and id not in held:
                yield from _close(held)
            last = id
            conversation = held.setdefault(id, _Open(row.where))
            try:
                _add(conversation, row.values, columns, roles, limit)
            except Broken as error:
                yield BadRow(row.where, str(error))
    except Unreadable:
        held.pop(last, None)  # a conversation that was cut is not given out half
        yield from _close(held)
        raise
    yield from _close(held)


def _add(conversation: _Open, values: Mapping[str, str], columns: CsvColumns, roles: Mapping[str, Role], limit: int) -> None:
    role = roles.get(values[columns.role].strip().lower())
    at = moment(values[columns.at], columns.at) if columns.at else None
    resolved = truth(values[columns.resolved], columns.resolved) if columns.resolved else None
    rating = rating_of(values[columns.rating]) if columns.rating else None
    text = text_of(values[columns.text], columns.text, limit)
    if role is not None and text.strip():
        conversation.turns.append(TranscriptTurn(role, text, at))
    if columns.contact and conversation.contact is None:
        conversation.contact = label(values[columns.contact], columns.contact)
    conversation.resolved = conversation.resolved if resolved is None else resolved
    conversation.rating = conversation.rating if rating is None else rating


def _close(held: dict[str, _Open]) -> Iterator[Transcript | BadRow]:
    for id, got in held.items():
        try:
            yield transcript(got.where, got.turns, id=id, contact=got.contact, resolved=got.resolved, rating=got.rating)
        except Broken as error:
            yield BadRow(got.where, str(error))
    held.clear()
