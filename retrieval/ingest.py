"""Files and folders -> the store and a new index version; and out of both again.

Comes after the readers (``assistant.transcripts``, ``assistant.articles``) and redaction, before ``refresh``, which makes the
index agree with the store. Each file goes into the store whole or not at all. Conversations are redacted before they are
stored; articles and templates are kept as written, because they are the company's own public words, whose e-mail address
and telephone number customers need. Knows nothing of commands or screens.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.articles import read_templates
from assistant.encoder import Encoder, file_sha256
from assistant.errors import TranscriptError, UsageError
from assistant.language import identify
from assistant.records import Transcript
from assistant.redact import Redactor
from assistant.settings import CsvColumns
from assistant.store import SourceRecord, Store
from assistant.transcripts import FORMATS, BadRow, Skipped, read_transcripts
from retrieval.files import NamedFile, articles_of, find_files, usable
from retrieval.lock import exclusive
from retrieval.redaction import redacted
from retrieval.refresh import ERASING, Progress, Refreshed, Report, erasing, fingerprint, made_from, refresh, serving_name

_EVERY = 100


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One file: its name in the store, what it holds and what became of it.

    ``state`` is added, replaced, unchanged or removed; ``passages`` counts those it brought in, before folding; ``note``
    says why a file counts as unchanged when it has another name.
    """

    name: str
    kind: str
    state: str
    conversations: int = 0
    articles: int = 0
    templates: int = 0
    passages: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a command did. ``index_version`` serves now; ``built`` says whether it is new.

    ``passages`` is what the index holds, ``folded`` how many near-duplicates went into those, ``encoded`` and ``reused``
    where their vectors came from, ``seconds`` by stage: read (redaction and store included), passages, encode, fold, index.
    """

    sources: tuple[SourceReport, ...]
    skipped: tuple[Skipped, ...]
    bad_rows: tuple[BadRow, ...]
    index_version: str
    built: bool
    passages: int
    folded: int
    encoded: int
    reused: int
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return values | {"skipped": [{"path": str(one.path), "why": one.why} for one in self.skipped]}


def ingest(
    paths: Sequence[Path],
    *,
    store: Store,
    encoder: Encoder,
    redactor: Redactor,
    salt: str,
    index_root: Path,
    now: Callable[[], datetime],
    new_id: Callable[[], str],
    format: str = "auto",
    skip_bad: bool = False,
    columns: CsvColumns | None = None,
    max_text_chars: int = 20_000,
    near_duplicate: float = 0.97,
    flat_below: int = 50_000,
    keep_versions: int = 3,
    progress: Report | None = None,
) -> IngestReport:
    """Take logs, articles and templates into the store, and let an index version serve that holds them.

    A file's name in the store is its path from the folder that was named, that folder included (``logs/2025/may.jsonl``); for
    a file named by itself, its own folder and its name. A file with the bytes of one that is there changes nothing; another
    content under a known name replaces the old. A file that has gone from a folder stays in the store until it is removed.
    Where one file is refused the others are still taken in and served, before the error is raised.

    Args:
        paths: Files and folders.
        store: Where they go.
        encoder: Embeds new passages.
        redactor: Finds personal data in conversations.
        salt: A secret of this installation, for placeholders and contacts.
        index_root: The folder of index versions.
        now: The time, with its zone.
        new_id: Makes ids of sources.
        format: One of ``INGEST_FORMATS``; ``auto`` recognises each file by content.
        skip_bad: Leave out rows of logs that are broken, and other files that cannot be read, and list them.
        columns: The column map of CSV logs.
        max_text_chars: Longer texts of a log are cut.
        near_duplicate: Cosine from which passages may fold.
        flat_below: From this many passages on a graph is searched.
        keep_versions: How many index versions stay while nothing leaves the store.
        progress: Told where the work stands.

    Returns:
        What was done, file by file.

    Raises:
        UsageError: If the format is unknown, or two files would have one name.
        TranscriptError: Naming ``file:line`` of everything that was refused; nothing of those files is kept.
        IndexVersionError: If another process is changing the index, or it cannot be built.
        StoreError: If the store cannot be written.
    """
    found = find_files(paths, format, columns)
    files, skipped = found.files, list(found.skipped)
    taken: list[SourceReport] = []
    bad_rows: list[BadRow] = []
    refused: list[str] = []
    on_bad = bad_rows.append if skip_bad else None

    def conversations(file: NamedFile) -> Iterator[Transcript]:
        log_format = format if format in FORMATS else "auto"
        rows = read_transcripts(file.path, format=log_format, columns=columns, on_bad=on_bad, max_text_chars=max_text_chars)
        for number, transcript in enumerate(usable(file, rows, on_bad), start=1):
            yield redacted(transcript, redactor, salt, identify)
            if progress and number % _EVERY == 0:
                progress(Progress("read", number, 0, file.name))

    with exclusive(index_root):
        if made_from(serving_name(index_root)) != fingerprint(store, encoder.sha256, near_duplicate, flat_below):
            erasing(index_root)  # a run was killed, or the store is another: what the old versions hold is uncertain
        started = time.perf_counter()
        for file in files:
            record = SourceRecord(new_id(), file.name, file.kind, file_sha256(file.path), format, now())
            try:
                taken.append(_take(store, index_root, file, record, conversations))
            except TranscriptError as error:
                refused.append(str(error))
                skipped.append(Skipped(file.path, str(error)))
            if progress:
                progress(Progress("read", len(taken) + len(refused), len(files), file.name))
        read_s = time.perf_counter() - started
        done = refresh(
            store,
            encoder,
            index_root,
            now=now(),
            near_duplicate=near_duplicate,
            flat_below=flat_below,
            keep_versions=keep_versions,
            progress=progress,
        )
    if refused and not (skip_bad and taken):
        others = f"\nnothing of the above was kept; {len(taken)} other file(s) are in the store" if len(files) > 1 else ""
        raise TranscriptError("\n".join(refused) + others)
    taken = [one if one.state == "unchanged" else replace(one, passages=done.by_source.get(one.name, 0)) for one in taken]
    return _report(taken, skipped, bad_rows, done, read_s)


def remove(
    source: str,
    *,
    store: Store,
    encoder: Encoder,
    index_root: Path,
    now: Callable[[], datetime],
    near_duplicate: float = 0.97,
    flat_below: int = 50_000,
    progress: Report | None = None,
) -> IngestReport:
    """Take a source out of the store and out of every index version on disk.

    Args:
        source: Its name as the store lists it, or a folder at the beginning of names, for all files below it.
        store: Where it is.
        encoder: Made the vectors; embeds again what cannot be taken over.
        index_root: The folder of index versions.
        now: The time, with its zone.
        near_duplicate: Cosine from which passages may fold.
        flat_below: From this many passages on a graph is searched.
        progress: Told where the work stands.

    Returns:
        What was removed; no sources where an earlier run was killed and only the index was left to mend.

    Raises:
        UsageError: If there is no such source.
        IndexVersionError: If another process is changing the index, or it cannot be built.
        StoreError: If the store cannot be written.
    """
    with exclusive(index_root):
        listed = store.sources()
        gone = [one for one in listed if one.name == source or one.name.startswith(f"{source.rstrip('/')}/")]
        if gone or made_from(serving_name(index_root)) != fingerprint(store, encoder.sha256, near_duplicate, flat_below):
            erasing(index_root)
        elif not (index_root / ERASING).exists():
            raise UsageError(_unknown(source, [one.name for one in listed]))
        for one in gone:
            store.remove_source(one.name)
        done = refresh(
            store,
            encoder,
            index_root,
            now=now(),
            near_duplicate=near_duplicate,
            flat_below=flat_below,
            progress=progress,
        )
    return _report([_counted(one, "removed", one.counts) for one in gone], [], [], done, 0.0)


def rebuild(
    *,
    store: Store,
    encoder: Encoder,
    index_root: Path,
    now: Callable[[], datetime],
    near_duplicate: float = 0.97,
    flat_below: int = 50_000,
    progress: Report | None = None,
) -> IngestReport:
    """Build the index anew after conversations left the store by another door, such as ``Store.forget_contact``.

    Args:
        store: What the index shall hold.
        encoder: Embeds what cannot be taken over.
        index_root: The folder of index versions; only the new one stays.
        now: The time, with its zone.
        near_duplicate: Cosine from which passages may fold.
        flat_below: From this many passages on a graph is searched.
        progress: Told where the work stands.

    Returns:
        What was done, without sources.

    Raises:
        IndexVersionError: If another process is changing the index, or it cannot be built.
        StoreError: If the store cannot be read.
    """
    with exclusive(index_root):
        erasing(index_root)
        done = refresh(
            store,
            encoder,
            index_root,
            now=now(),
            near_duplicate=near_duplicate,
            flat_below=flat_below,
            force=True,
            progress=progress,
        )
    return _report([], [], [], done, 0.0)


def _take(
    store: Store, root: Path, file: NamedFile, record: SourceRecord, conversations: Callable[[NamedFile], Iterator[Transcript]]
) -> SourceReport:
    old = next((one for one in store.sources() if one.name == file.name), None)
    same = store.source_by_sha(record.sha256)
    if same is not None:
        if old is not None and old.name != same.name:  # the file now says what another source says already
            erasing(root)
            store.remove_source(old.name)
        note = "" if same.name == file.name else f"the same content is in the store as {same.name}"
        return _counted(replace(same, name=file.name), "unchanged", same.counts, note)
    if old is not None:
        erasing(root)
    counts = store.add_source(
        record,
        conversations(file) if file.kind == "log" else (),
        articles_of(file) if file.kind == "article" else (),
        read_templates(file.path) if file.kind == "templates" else (),
        replaces=file.name,
    )
    return _counted(record, "added" if old is None else "replaced", counts)


def _counted(source: SourceRecord, state: str, counts: dict[str, int], note: str = "") -> SourceReport:
    return SourceReport(source.name, source.kind, state, counts["transcripts"], counts["articles"], counts["templates"], 0, note)


def _report(
    sources: list[SourceReport], skipped: list[Skipped], bad_rows: list[BadRow], done: Refreshed, read_s: float
) -> IngestReport:
    return IngestReport(
        sources=tuple(sources),
        skipped=tuple(skipped),
        bad_rows=tuple(bad_rows),
        index_version=done.version,
        built=done.built,
        passages=done.passages,
        folded=done.folded,
        encoded=done.encoded,
        reused=done.reused,
        seconds={"read": round(read_s, 3), **done.seconds},
        notes=done.notes,
    )


def _unknown(source: str, names: list[str]) -> str:
    near = difflib.get_close_matches(source, names, 3, 0.4) or names[:3]
    mend = f"did you mean {', '.join(near)}? " if near else ""
    return f"there is no source {source!r} in the store; {mend}`deskhand ingest --list` shows all"
