"""Tells by content what a file is: a log, articles, templates, or none of these.

Knows magic bytes, first records and header rows; names only tell a README or a licence from a help article. Reads no more
than the beginning of a file.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assistant.errors import TranscriptError
from assistant.formats.rows import Record, Unreadable, chunks, records
from assistant.formats.tables import header_of
from assistant.settings import CsvColumns

Kind = Literal["log", "article", "templates"]
ArticleForm = Literal["pdf", "docx", "html", "markdown", "jsonl"]
#: Files about a folder, not about what customers ask.
_ABOUT = re.compile(r"readme|licen[cs]e|notice|changelog|contributing|code_of_conduct|citation|authors", re.IGNORECASE)
_HTML = re.compile(rb"(?is)\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|main|article)\b")
_HEADING = re.compile(rb"^(#{1,6}[ \t]+\S|---\s*$)", re.MULTILINE)
_HEAD = 64 << 10
_RECORDS = 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that can be ingested, and as what."""

    path: Path
    kind: Kind


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a path holds, each list sorted by path."""

    files: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...]


def discover(path: Path, *, columns: CsvColumns | None = None) -> Discovery:
    """Find the logs, articles and templates under a path.

    Args:
        path: A file, which is taken for what it looks like most, or a folder, which is searched without following links.
        columns: The column map by which CSV logs are recognised.

    Returns:
        The files with their kinds, and those left out with the reason. Hidden files are passed over.

    Raises:
        TranscriptError: If the path does not exist.
    """
    if not path.exists():
        raise TranscriptError(f"{path}: no such file or folder; check the path")
    files: list[SourceFile] = []
    skipped: list[Skipped] = []
    for file in _walk(path) if path.is_dir() else (path,):
        found = _look(file, columns or CsvColumns(), named=file == path)
        if isinstance(found, SourceFile):
            files.append(found)
        else:
            skipped.append(found)
    return Discovery(tuple(files), tuple(skipped))


def log_format(row: Mapping[str, Any]) -> str | None:
    """Name the log format of one JSON object, or ``None`` when it is no conversation."""
    if "turns" in row:
        return "jsonl"
    if "conversation_parts" in row or (row.get("type") == "conversation" and "source" in row):
        return "intercom"
    if isinstance(messages := row.get("messages"), list):
        chatwoot = any(isinstance(message, dict) and "message_type" in message for message in messages[:3])
        return "chatwoot" if chatwoot else "openai"
    ticket = row["ticket"] if isinstance(row.get("ticket"), dict) else row
    if isinstance(ticket.get("comments"), list) or {"requester_id", "description"} <= ticket.keys():
        return "zendesk"
    return "bitext" if {"instruction", "response"} <= row.keys() else None


def is_json(path: Path) -> bool:
    """Tell whether a file begins like JSON."""
    return head(path).lstrip()[:1] in (b"{", b"[")


def head(path: Path) -> bytes:
    """Return up to 64 KiB from the beginning of a file, unpacked; less when its gzip is damaged.

    Raises:
        TranscriptError: If the file cannot be opened or is UTF-16.
    """
    got = b""
    try:
        for piece in chunks(path):
            got += piece[:_HEAD]
            if len(got) >= _HEAD:
                break
    except EOFError:
        pass
    return got


def article_form(path: Path) -> ArticleForm | None:
    """Tell by magic bytes and first words how an article is written; plain text counts as Markdown.

    Args:
        path: The file.

    Returns:
        The form, or ``None`` for other binary files and for JSON that holds no articles.

    Raises:
        TranscriptError: If the file cannot be opened or is UTF-16.
    """
    start = head(path)
    if b"%PDF-" in start[:1024]:
        return "pdf"
    if start.startswith(b"PK\x03\x04"):
        return "docx" if _is_docx(path) else None
    if start.lstrip()[:1] in (b"{", b"["):
        return "jsonl" if _json_kind(path).kind == "article" else None
    if _HTML.match(start):
        return "html"
    control = sum(byte < 9 or 13 < byte < 32 for byte in start[:4096])
    return None if control > 8 else "markdown"


@dataclass(frozen=True, slots=True)
class _JsonKind:
    kind: Kind | None
    keys: tuple[str, ...] = ()


def _walk(folder: Path) -> Iterator[Path]:
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(at, name) for name in names if not name.startswith(".")]
    return iter(sorted(found))


def _look(path: Path, columns: CsvColumns, *, named: bool) -> SourceFile | Skipped:
    if not named and _ABOUT.search(path.name):
        return Skipped(path, "about the folder, not a help article")
    try:
        start = head(path)
        if not start.strip():
            return Skipped(path, "empty, or a gzip file damaged from the start")
        if start.lstrip()[:1] in (b"{", b"["):
            found = _json_kind(path)
            if found.kind is None:
                keys = f"; its keys are {', '.join(found.keys[:8])}" if found.keys else ""
                return Skipped(path, f"JSON that is neither a log, nor articles, nor templates{keys}")
            return SourceFile(path, found.kind)
        form = article_form(path)
        if form is None:
            return Skipped(path, "a binary file that is neither PDF nor DOCX")
        if form == "markdown":
            if header_of(path, columns).kind:
                return SourceFile(path, "log")
            if not named and not _HEADING.search(start):
                return Skipped(path, "plain text without a heading")
        return SourceFile(path, "article")
    except (TranscriptError, Unreadable) as error:
        return Skipped(path, str(error).removeprefix(f"{path}:1: ").removeprefix(f"{path}: "))


def _json_kind(path: Path) -> _JsonKind:
    """Look at the first records; one that is broken does not hide what the others are."""
    keys: tuple[str, ...] = ()
    try:
        for count, row in enumerate(records(path)):
            if isinstance(row, Record) and isinstance(row.value, dict):
                value = row.value
                if log_format(value):
                    return _JsonKind("log")
                if "intent" in value and "text" in value and ("ask" in value or "required_slots" in value):
                    return _JsonKind("templates")
                if "title" in value and ("body" in value or "text" in value):
                    return _JsonKind("article")
                keys = keys or tuple(map(str, value))
            if count >= _RECORDS:
                break
    except Unreadable:
        pass
    return _JsonKind(None, keys)


def _is_docx(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "word/document.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return path.suffix.lower() == ".docx"  # named so, and broken: reading it says why
