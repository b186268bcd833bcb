"""Support logs in their many formats -> conversations, one at a time.

Knows which reader a row needs and what happens to a broken one. Does not know personal data, passages or the store: `redact`
and `retrieval.ingest` come after it. The formats themselves are in `assistant.formats`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from assistant.errors import TranscriptError, UsageError
from assistant.formats.chats import read_bitext, read_chat, read_openai
from assistant.formats.rows import BadRow, Broken, Record, Unreadable, records
from assistant.formats.sniff import Discovery, Skipped, SourceFile, discover, head, is_json, log_format
from assistant.formats.tables import read_table
from assistant.formats.vendors import read_chatwoot, read_intercom, read_zendesk
from assistant.records import Transcript
from assistant.settings import CsvColumns

__all__ = ["FORMATS", "BadRow", "Discovery", "Skipped", "SourceFile", "discover", "read_transcripts"]

_READERS: Mapping[str, Callable[[Mapping[str, Any], str, int], Transcript]] = {
    "jsonl": read_chat,
    "openai": read_openai,
    "bitext": read_bitext,
    "zendesk": read_zendesk,
    "intercom": read_intercom,
    "chatwoot": read_chatwoot,
}
#: What ``--format`` takes; ``auto`` looks at each row.
FORMATS = ("auto", *_READERS, "csv")


def read_transcripts(
    path: Path,
    *,
    format: str = "auto",
    columns: CsvColumns | None = None,
    on_bad: Callable[[BadRow], None] | None = None,
    max_text_chars: int = 20_000,
) -> Iterator[Transcript]:
    """Read the conversations of a log file, or of all logs in a folder, streamed.

    Args:
        path: A file, plain or gzip, or a folder; ``discover`` says what a folder leaves out.
        format: One of ``FORMATS``; ``auto`` recognises it by content.
        columns: The column map for CSV; the default names when ``None``.
        on_bad: Called with each row that cannot be used, which is then left out. Without it the first one is an error.
        max_text_chars: Longer texts are cut, at least 1.

    Yields:
        Conversations with at least one turn of a customer or an agent.

    Raises:
        UsageError: If the format is unknown.
        TranscriptError: If a row is broken and ``on_bad`` is ``None``, or the file as a whole is no log.
    """
    if format not in FORMATS:
        raise UsageError(f"format {format!r} is unknown; choose one of {', '.join(FORMATS)}")
    columns = columns or CsvColumns()
    found = discover(path, columns=columns)
    files = [file.path for file in found.files if file.kind == "log"] if path.is_dir() else [path]
    if not files:
        raise TranscriptError(f"{path}: holds no log that is recognised; name its format or its CSV columns")
    for file in files:
        yield from _read_file(file, format, columns, on_bad, max_text_chars)


def _read_file(
    path: Path, format: str, columns: CsvColumns, on_bad: Callable[[BadRow], None] | None, limit: int
) -> Iterator[Transcript]:
    rows = _json_rows(path, format, limit) if _holds_json(path, format) else read_table(path, columns, limit)
    try:
        for row in rows:
            if isinstance(row, Transcript):
                yield row
            elif on_bad is None:
                raise TranscriptError(f"{row.where}: {row.why}")
            else:
                on_bad(row)
    except Unreadable as error:
        bad = BadRow(f"{path}:{error.line}", error.why)
        if on_bad is None:
            raise TranscriptError(f"{bad.where}: {bad.why}") from error
        on_bad(bad)


def _holds_json(path: Path, format: str) -> bool:
    """Decide between JSON and CSV; Bitext comes as both."""
    if not head(path).strip():
        raise TranscriptError(f"{path}:1: the file is empty, or its gzip is damaged from the start; export it again")
    if format == "csv":
        return False
    return is_json(path) or format not in ("auto", "bitext")


def _json_rows(path: Path, format: str, limit: int) -> Iterator[Transcript | BadRow]:
    for record in records(path):
        if isinstance(record, BadRow):
            yield record
            continue
        try:
            yield _transcript(record, format, limit)
        except Broken as error:
            yield BadRow(record.where, str(error))


def _transcript(record: Record, format: str, limit: int) -> Transcript:
    row = record.value
    if not isinstance(row, dict):
        raise Broken("not an object; each conversation is one JSON object")
    known = log_format(row) if format == "auto" else format
    if known is None:
        raise Broken(f"no turns, and no format that is known; its keys are {', '.join(map(repr, list(row)[:8]))}")
    return _READERS[known](row, record.where, limit)
