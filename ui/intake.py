"""What goes into the store and out of it: ``ingest`` with its options, and ``forget``.

Knows how the work is reported; how it is done is in ``retrieval/ingest.py``.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import TranscriptError, UsageError
from assistant.settings import home
from ui import terminal
from ui.wiring import connect, load_encoder, make_home, make_redactor, read_settings, salt

if TYPE_CHECKING:
    from assistant.encoder import Encoder
    from assistant.settings import Settings
    from retrieval.ingest import IngestReport
    from retrieval.refresh import Progress

#: Skipped files and rows that are named one by one; the rest is counted. ``--json`` names all.
SHOWN = 20


def run(paths: Sequence[Path], *, format: str, skip_bad: bool, as_json: bool) -> None:
    """Ingest files and folders and print what became of them.

    Args:
        paths: Files and folders.
        format: ``auto`` or a format's name.
        skip_bad: Whether broken rows are left out.
        as_json: Whether to print the report as JSON.

    Raises:
        UsageError: If the format is unknown.
        TranscriptError: If a path is missing, or a file is refused.
    """
    from retrieval.files import INGEST_FORMATS

    if format not in INGEST_FORMATS:
        raise UsageError(f"--format {format!r} is unknown; choose one of {', '.join(INGEST_FORMATS)}")
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise TranscriptError(f"{', '.join(missing)}: there is no such file or folder; check the path")
    place = home()
    settings = read_settings(place)
    make_redactor(settings)  # a pattern that cannot be used is refused before anything is loaded
    with terminal.Steps(quiet=as_json) as steps:
        report = take_in(paths, settings, place, load_encoder(settings), steps=steps, format=format, skip_bad=skip_bad)
    _print(report, as_json=as_json)


def take_in(
    paths: Sequence[Path],
    settings: Settings,
    place: Path,
    encoder: Encoder,
    *,
    steps: terminal.Steps,
    format: str = "auto",
    skip_bad: bool = False,
) -> IngestReport:
    """Ingest files and folders into a home folder.

    Args:
        paths: Files and folders.
        settings: Sections ``ingest``, ``index``, ``redact`` and ``store`` count.
        place: The home folder, made where missing.
        encoder: Embeds new passages.
        steps: Told how far the work is.
        format: ``auto`` or a format's name.
        skip_bad: Whether broken rows are left out.

    Returns:
        What was done.

    Raises:
        DeskhandError: If something is refused or cannot be written.
    """
    from retrieval.ingest import ingest

    with connect(settings, make_home(place)) as store:
        return ingest(
            paths,
            store=store,
            encoder=encoder,
            redactor=make_redactor(settings),
            salt=salt(place),
            index_root=place / "index",
            now=_now,
            new_id=lambda: uuid.uuid4().hex,
            format=format,
            skip_bad=skip_bad,
            columns=settings.ingest.csv,
            max_text_chars=settings.ingest.max_text_chars,
            near_duplicate=settings.index.near_duplicate,
            flat_below=settings.index.flat_below,
            keep_versions=settings.index.keep_versions,
            progress=_follow(steps),
        )


def run_list(*, as_json: bool) -> None:
    """Print what was ingested, oldest first.

    Args:
        as_json: Whether to print an array of objects.
    """
    place = home()
    with connect(read_settings(place), place) as store:
        sources = store.sources()
    if as_json:
        terminal.say_json([asdict(one) for one in sources])
    elif not sources:
        terminal.say("nothing was ingested yet; `deskhand ingest PATH...` does")
    else:
        rows = [(one.name, one.kind, _counts(one.counts), f"{one.ingested_at:%Y-%m-%d %H:%M}") for one in sources]
        terminal.table("sources", ("name", "kind", "holds", "ingested"), rows)


def run_remove(source: str, *, as_json: bool) -> None:
    """Take a source out of the store and the index.

    Args:
        source: Its name as ``--list`` shows it, or a folder at the beginning of names.
        as_json: Whether to print the report as JSON.

    Raises:
        UsageError: If there is no such source.
    """
    from retrieval.ingest import remove

    place = home()
    settings = read_settings(place)
    with connect(settings, place) as store, terminal.Steps(quiet=as_json) as steps:
        report = remove(
            source,
            store=store,
            encoder=load_encoder(settings),
            index_root=place / "index",
            now=_now,
            near_duplicate=settings.index.near_duplicate,
            flat_below=settings.index.flat_below,
            progress=_follow(steps),
        )
    _print(report, as_json=as_json)


def run_forget(contact: str, *, yes: bool, as_json: bool) -> None:
    """Delete a contact's conversations, live and past, and everything the index and learning made of them.

    Proposals of ``adapters discover`` below the home are deleted whole, for nobody can say whose words stand in them; those in
    other folders are named.

    Args:
        contact: As the company knows the contact, or as the store does.
        yes: Whether to delete without asking.
        as_json: Whether to print JSON.

    Raises:
        UsageError: If nobody can be asked and ``yes`` is not given.
        TrainingError: If a holdout cannot be read; all else is deleted by then, and the command may be repeated.
        DeskhandError: If the list of proposals cannot be read or one cannot be deleted; nothing else is deleted then.
    """
    from finetune.discover_files import INTENTS, OVERVIEW, UNCLUSTERED
    from finetune.erasure import erase_learned
    from retrieval.ingest import rebuild
    from retrieval.redaction import pseudonym
    from ui.discovered import erase_discovered
    from ui.retraining import HOLDOUT
    from ui.training import RUNS

    if not contact.strip():
        raise UsageError("an empty contact is nobody; name one as the logs do")
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError(f"nobody can be asked here; --yes deletes everything of {contact!r}")
        terminal.note(f"delete everything of {contact!r} for good? [y/N]")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            terminal.say("nothing was deleted")
            return
    place = home()
    settings = read_settings(place)
    with connect(settings, place) as store, terminal.Steps(quiet=as_json) as steps:
        stored = pseudonym(contact, make_redactor(settings), salt(place))
        names = {contact, stored}
        # Before the store: a run that is killed in between is repeated, and then the store must still know the contact.
        known = any(map(store.knows_contact, names))
        discovered = erase_discovered(place, (INTENTS, OVERVIEW, UNCLUSTERED), known=known)
        gone = sum(store.forget_contact(name) for name in names)
        # Even where nothing was left to delete: an earlier run may have been killed between store and index.
        if (place / "index").is_dir():
            rebuild(
                store=store,
                encoder=load_encoder(settings),
                index_root=place / "index",
                now=_now,
                near_duplicate=settings.index.near_duplicate,
                flat_below=settings.index.flat_below,
                progress=_follow(steps),
            )
        learned = erase_learned(store, place / HOLDOUT, place / RUNS)
    if as_json:
        told = {"contact": contact, "known": known, "conversations": gone}
        told |= {"holdout_rows": learned.rows, "run_pages": learned.pages}
        files = {"discoveries_deleted": discovered.deleted, "discoveries_left": discovered.left}
        terminal.say_json(told | {name: [str(path) for path in paths] for name, paths in files.items()})
        return
    terminal.say(f"{contact}: {gone} conversation(s) deleted")
    if not known:
        terminal.say("the store knows nobody by this name, or no longer does; names must be written exactly as in the logs")
    if learned.rows or learned.pages:
        terminal.say(f"{learned.rows} held-out row(s) and {learned.pages} page(s) of training runs deleted too")
    for path in discovered.deleted:
        terminal.say(f"deleted too, as proposals hold customers' words: {path}")
    for path in discovered.left:
        terminal.say(f"may hold the contact's words still, delete it and its copies yourself: {path}")


def _print(report: IngestReport, *, as_json: bool) -> None:
    if as_json:
        terminal.say_json(report.as_json())
        return
    states = {one.state for one in report.sources}
    if len(report.sources) > SHOWN:
        terminal.say(", ".join(f"{sum(one.state == state for one in report.sources)} files {state}" for state in sorted(states)))
    else:
        for one in report.sources:
            counts = {"conversations": one.conversations, "articles": one.articles, "templates": one.templates}
            terminal.say(f"{one.name}: {one.state}, {_counts(counts)}{f' ({one.note})' if one.note else ''}")
    left = [f"{bad.where}: {bad.why}" for bad in report.bad_rows] + [f"{one.path}: {one.why}" for one in report.skipped]
    for line in left[:SHOWN]:
        terminal.note(f"left out: {line}")
    if len(left) > SHOWN:
        terminal.note(f"left out: {len(left) - SHOWN} more; --json names them all")
    for line in report.notes:
        terminal.note(f"warning: {line}")
    new = f"{report.encoded} encoded, {report.reused} taken over, {report.folded} folded" if report.built else "nothing new"
    terminal.say(f"index {report.index_version}: {report.passages} passages ({new}; {sum(report.seconds.values()):.1f} s)")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"


def _follow(steps: terminal.Steps) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        # Reading reports files and, within a large one, conversations: two counts, two bars.
        stage = f"read {progress.what}" if progress.stage == "read" and not progress.total else progress.stage
        steps(stage, progress.done, progress.total or None)

    return show


def _now() -> datetime:
    return datetime.now(UTC)
