"""Paths -> files with the names by which they can be removed again, and what stands in them, each id once.

Comes before ``ingest``. Knows how folders are walked and what makes a file's content unusable as a whole; the formats
themselves are known to ``assistant.transcripts`` and ``assistant.articles``. Knows no store and no index.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from assistant.articles import read_articles
from assistant.errors import TranscriptError, UsageError
from assistant.language import identify
from assistant.records import Article, Transcript
from assistant.settings import CsvColumns
from assistant.transcripts import FORMATS, BadRow, Skipped, discover

Kind = Literal["log", "article", "templates"]
#: What ``--format`` takes: the formats of logs, and a word for files that are no logs.
INGEST_FORMATS = (*FORMATS, "articles", "templates")
_KINDS: dict[str, Kind] = {"articles": "article", "templates": "templates"}


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file on its way in; ``name`` is what ``--list`` shows and ``--remove`` takes."""

    name: str
    path: Path
    kind: Kind


@dataclass(frozen=True, slots=True)
class Found:
    """The files under some paths, in the order given, and what was left out."""

    files: list[NamedFile]
    skipped: list[Skipped]


def find_files(paths: Sequence[Path], format: str, columns: CsvColumns | None) -> Found:
    """Name every file under the paths.

    Args:
        paths: Files and folders.
        format: One of ``INGEST_FORMATS``; for a file named by itself it decides what the file is.
        columns: The column map of CSV logs.

    Returns:
        The files, each once. A name is the path from the folder that was given, that folder included.

    Raises:
        UsageError: If the format is unknown, or two files would have one name.
        TranscriptError: If a path is missing or holds nothing that can be ingested.
    """
    if format not in INGEST_FORMATS:
        raise UsageError(f"format {format!r} is unknown; choose one of {', '.join(INGEST_FORMATS)}")
    files: dict[str, NamedFile] = {}
    skipped: list[Skipped] = []
    for path in paths:
        found = discover(path, columns=columns)
        within = Path(os.path.abspath(path))
        top = within if path.is_dir() else within.parent
        forced = None if format == "auto" or path.is_dir() else _KINDS.get(format, "log")
        named: list[tuple[Path, Kind]] = [(one.path, one.kind) for one in found.files]
        if forced:
            named = [(path, forced)]
        elif not named:
            why = "; ".join(f"{one.path}: {one.why}" for one in found.skipped[:5]) or "it is empty"
            raise TranscriptError(f"{path}: holds no log, article or template that is recognised ({why})")
        for at, kind in named:
            kind = _KINDS[format] if format in _KINDS and kind != "log" else kind
            file = NamedFile((Path(top.name) / os.path.relpath(at, top)).as_posix(), Path(at), kind)
            other = files.setdefault(file.name, file)
            if os.path.abspath(other.path) != os.path.abspath(at):
                raise UsageError(f"{other.path} and {at} would both be named {file.name!r}; name the folder above both instead")
        skipped += () if forced else found.skipped
    return Found(list(files.values()), skipped)


def usable(file: NamedFile, rows: Iterator[Transcript], on_bad: Callable[[BadRow], None] | None) -> Iterator[Transcript]:
    """Pass a log's conversations on, each id once.

    Args:
        file: The log.
        rows: What was read from it.
        on_bad: Told of repeated ids, which are left out; without it the first one is an error.

    Yields:
        The conversations.

    Raises:
        TranscriptError: At a repeated id, or if there is none at all: stored, such a file would count as read for good.
    """
    seen: set[str] = set()
    for transcript in rows:
        if transcript.id not in seen:
            seen.add(transcript.id)
            yield transcript
            continue
        bad = BadRow(transcript.where, f"id {transcript.id!r} stands twice in this file; give each conversation its own id")
        if on_bad is None:
            raise TranscriptError(f"{bad.where}: {bad.why}")
        on_bad(bad)
    if not seen:
        raise TranscriptError(f"{file.path}:1: holds no conversation that can be used; check its format")


def articles_of(file: NamedFile) -> Iterator[Article]:
    """Read a file's articles, with ids that no other file has.

    Args:
        file: An article, or JSONL of several.

    Yields:
        Articles; the id is the file's name, with ``#`` and the article's own id where the file may hold several.

    Raises:
        TranscriptError: If the file cannot be read or an id stands twice.
    """
    several = file.path.name.removesuffix(".gz").endswith((".jsonl", ".json", ".ndjson"))
    seen: dict[str, str] = {}
    for article in read_articles(file.path):
        if article.id in seen:
            raise TranscriptError(f"{article.where}: id {article.id!r} stands already at {seen[article.id]}; give each its own")
        seen[article.id] = article.where
        lang = article.lang or identify(f"{article.title}\n{article.body}")
        yield replace(article, id=f"{file.name}#{article.id}" if several else file.name, lang=lang)
