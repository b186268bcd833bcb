"""``deskhand adapters discover``: what customers open with, grouped into proposed intents that a person edits and trains from.

Knows where openings come from and what is printed; how they are grouped is in ``finetune/discover.py``.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import TrainingError, TranscriptError, UsageError
from assistant.settings import home
from ui import terminal
from ui.discovered import FOLDER, note_folder
from ui.wiring import connect, load_encoder, make_home, make_redactor, read_settings, salt

if TYPE_CHECKING:
    from assistant.encoder import Encoder
    from assistant.records import Transcript
    from assistant.settings import Settings
    from finetune.discover import Proposal
    from finetune.discover_files import ProposalFiles

#: Later openings add little to the groups and would take hours to encode on a small machine.
MOST_OPENINGS = 50_000
_MOST_CHARS = 2_000  # more than any encoder reads


def run_discover(*, out: Path | None, data: Path | None, least: int, as_json: bool) -> None:
    """Propose intents and write them to files.

    Args:
        out: Folder for the files; ``None`` for ``discover`` in the home folder.
        data: A log, or a CSV or JSONL file with a column ``text``; ``None`` takes the conversations of the store.
        least: An intent has at least so many different messages.
        as_json: Whether to print one JSON object.

    Raises:
        UsageError: If ``least`` is below 2.
        TranscriptError: If ``data`` cannot be read.
        TrainingError: If there are too few openings, or the folder cannot be written or holds an earlier proposal.
    """
    from finetune.discover import LEAST_OPENINGS, distinct, propose
    from finetune.discover_files import check_folder, write_proposal

    if least < 2:
        raise UsageError(f"--least {least}: an intent needs at least 2 messages")
    place = home()
    settings = read_settings(place)
    folder = (make_home(place) / FOLDER) if out is None else out
    check_folder(folder)
    texts = openings(settings, place) if data is None else openings_of_file(data, settings, place)
    rows, _ = distinct(texts)
    if len(rows) < LEAST_OPENINGS:
        where = "the store" if data is None else str(data)
        raise TrainingError(
            f"{where} holds {len(rows)} different openings of customers, at least {LEAST_OPENINGS} are needed to show intents; "
            "`deskhand ingest` more conversations, or name a file of messages with --data"
        )
    with terminal.Steps(quiet=as_json) as steps:
        encoder = load_encoder(settings)
        vectors = _encode(texts, encoder, steps)
        steps.line("grouping")
        proposal = propose(texts, vectors, least=least)
    note_folder(make_home(place), folder)
    files = write_proposal(folder, proposal, texts)
    if as_json:
        terminal.say_json(as_object(proposal, files))
    else:
        _print(proposal, files)


def openings(settings: Settings, place: Path) -> list[str]:
    """Return what customers began the stored conversations with, redacted as the store has them.

    Args:
        settings: ``store.url`` counts.
        place: The home folder.

    Returns:
        One text for each conversation in which a customer spoke, at most 50,000, the latest read.

    Raises:
        StoreError: If the store cannot be opened.
    """
    store = connect(settings, place)
    try:
        return _latest(_first_words(store.iter_transcripts()))
    finally:
        store.close()


def openings_of_file(path: Path, settings: Settings, place: Path) -> list[str]:
    """Return what customers began with in a file, personal data replaced.

    Args:
        path: A log in any format that ``ingest`` takes, or CSV or JSONL rows with ``text`` and no conversation.
        settings: Sections ``ingest`` and ``redact`` count.
        place: The home folder, made where missing; its salt keys the redaction.

    Returns:
        The texts, at most 50,000, the last of the file.

    Raises:
        TranscriptError: If the file cannot be read, naming the line.
    """
    from assistant.redact import Memory
    from assistant.transcripts import read_transcripts

    if not path.exists():
        raise TranscriptError(f"{path}: there is no such file or folder; check the path")
    columns = settings.ingest.csv
    plain = None if path.is_dir() else _plain_texts(path, columns.conversation)
    texts = _first_words(read_transcripts(path, columns=columns)) if plain is None else plain
    redactor, secret = make_redactor(settings), salt(make_home(place))
    return [redactor.redact(text, Memory(secret)).text for text in _latest(texts)]


def as_object(proposal: Proposal, files: ProposalFiles) -> dict[str, Any]:
    """Return a proposal as ``--json`` prints it.

    Args:
        proposal: What ``propose`` returned.
        files: Where it was written.

    Returns:
        ``openings``, ``none_share``, ``intents`` with name, words, size, different, coherence and examples, and ``files``.
    """
    intents = [
        {
            "name": one.name,
            "words": one.words,
            "size": one.size,
            "different": len(one.members),
            "coherence": one.coherence,
            "examples": one.examples,
            "edge": one.edge,
        }
        for one in proposal.intents
    ]
    share = round(proposal.none_share, 4)
    return {
        "openings": proposal.n,
        "none_share": share,
        "intents": intents,
        "files": {k: str(v) for k, v in asdict(files).items()},
    }


def _print(proposal: Proposal, files: ProposalFiles) -> None:
    shown = [
        (one.name, one.size, f"{one.coherence:.2f}", ", ".join(one.words[:5]), _clip(one.examples[0])) for one in proposal.intents
    ]
    terminal.table("proposed intents", ("name", "openings", "coherence", "words", "most central"), shown)
    terminal.say(f"{len(proposal.intents)} intents from {proposal.n} openings")
    terminal.say(f"{proposal.none_share:.0%} of the openings belong to none: {files.unclustered}")
    terminal.say(f"read {files.overview}, edit {files.intents}, then: deskhand adapters train intent --data {files.intents}")


def _encode(texts: list[str], encoder: Encoder, steps: terminal.Steps) -> Any:
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        steps("encoding openings", done, len(texts))

    return encoder.encode(texts, progress)


def _first_words(transcripts: Iterable[Transcript]) -> Iterator[str]:
    for transcript in transcripts:
        said = next((turn.text for turn in transcript.turns if turn.role == "customer" and turn.text.strip()), None)
        if said is not None:
            yield said


def _latest(texts: Iterable[str]) -> list[str]:
    from collections import deque

    return [text[:_MOST_CHARS] for text in deque(texts, maxlen=MOST_OPENINGS)]


def _plain_texts(path: Path, conversation: str) -> list[str] | None:
    """Read the column ``text`` of rows that are no conversation; ``None`` where the file is a log."""
    from assistant.formats.rows import BadRow, records
    from assistant.formats.sniff import is_json, log_format

    if not is_json(path):
        return _csv_texts(path, conversation)
    texts: list[str] = []
    for row in records(path):
        if isinstance(row, BadRow):
            raise TranscriptError(f"{row.where}: {row.why}")
        value = row.value
        if not isinstance(value, dict) or "text" not in value or log_format(value):
            if texts:
                raise TranscriptError(f"{row.where}: no 'text' here, and rows before it have one; mend the row or leave it out")
            return None
        if isinstance(value["text"], str) and value["text"].strip():
            texts.append(value["text"])
    return texts


def _csv_texts(path: Path, conversation: str) -> list[str] | None:
    try:
        with (
            gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as raw,
            io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream,
        ):
            reader = csv.DictReader(stream, delimiter="\t" if ".tsv" in path.suffixes else ",")
            names = reader.fieldnames or ()
            if "text" not in names or conversation in names:
                return None
            return [row["text"] for row in reader if (row["text"] or "").strip()]
    except (OSError, UnicodeDecodeError, EOFError, zlib.error, csv.Error) as error:
        raise TranscriptError(f"{path}: cannot be read as CSV in UTF-8 ({error}); export it again") from error


def _clip(text: str, most: int = 80) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
