"""A proposal of intents -> the files a person edits and trains from.

``intents.csv`` holds the rows, by intent and the most central first; editing is renaming a label, giving two groups the same
label to merge them, and deleting rows. ``unclustered.csv`` holds what belongs to none and has no column ``label``, so that it
cannot be trained by accident. ``intents.md`` is the overview. Comes after ``discover``, before ``examples.read_labelled``.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import TrainingError
from finetune.discover import Proposal

INTENTS, OVERVIEW, UNCLUSTERED = "intents.csv", "intents.md", "unclustered.csv"
#: A spreadsheet would run a cell that begins so.
_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class ProposalFiles:
    """Where a proposal was written."""

    intents: Path
    overview: Path
    unclustered: Path


def check_folder(folder: Path) -> None:
    """Make the folder of a proposal and see that it can be written and holds no earlier one, before long work begins.

    Args:
        folder: Made where missing, readable by its owner only.

    Raises:
        TrainingError: If it cannot be written, or holds an ``intents.csv`` that somebody may have edited.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"{folder}: cannot be made ({error.strerror}); name a folder that can be written with --out"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TrainingError(f"{folder}: cannot be written; name a folder that can be with --out")
    if (folder / INTENTS).exists():
        raise TrainingError(
            f"{folder / INTENTS} is there already and may hold edits; name another folder with --out, or move the file away"
        )


def write_proposal(folder: Path, proposal: Proposal, texts: Sequence[str]) -> ProposalFiles:
    """Write a proposal; each file appears whole or not at all, ``intents.csv`` last.

    Args:
        folder: As ``check_folder`` left it.
        proposal: What ``propose`` returned.
        texts: The openings it was made of. Line breaks become spaces, and a text that a spreadsheet would run as a formula
            gets an apostrophe before it.

    Returns:
        The files.

    Raises:
        TrainingError: If they cannot be written, or ``intents.csv`` has appeared meanwhile.
    """
    check_folder(folder)
    files = ProposalFiles(folder / INTENTS, folder / OVERVIEW, folder / UNCLUSTERED)
    rows = [
        (_cell(texts[one.row]), intent.name, f"{one.confidence:.3f}") for intent in proposal.intents for one in intent.members
    ]
    outside = [(_cell(texts[one.row]), one.nearest) for one in proposal.outsiders]
    _write(files.unclustered, _csv(("text", "nearest"), outside))
    _write(files.overview, overview(proposal))
    _write(files.intents, _csv(("text", "label", "confidence"), rows))
    return files


def overview(proposal: Proposal) -> str:
    """Return the overview of a proposal as Markdown, with what to do next.

    Args:
        proposal: What ``propose`` returned.

    Returns:
        The page.
    """
    lines = [
        "# Proposed intents",
        "",
        f"{len(proposal.intents)} intents from {proposal.n} openings; {proposal.none_share:.0%} belong to none ({UNCLUSTERED}).",
        "",
        "Names come from words, groups from likeness; a person has to check both. Rename labels, give two groups the same label",
        "to merge them, delete rows that do not belong (those of low confidence first) or groups that are nobody's intent. Rows",
        f"that no intent should answer get the label `oos`. All of this happens in `{INTENTS}`. Then:",
        "",
        f"    deskhand adapters train intent --data {INTENTS}",
    ]
    for intent in proposal.intents:
        lines += ["", f"## {intent.name}", ""]
        words = ", ".join(intent.words) or "none"
        lines += [
            f"{intent.size} openings, {len(intent.members)} different; coherence {intent.coherence:.2f}; words: {words}",
            "",
        ]
        lines += [f"- {_code(text)}" for text in intent.examples]
        lines += [f"- at the edge: {_code(text)}" for text in intent.edge]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    flat = " ".join(text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ").split())
    return f"'{flat}" if flat.startswith(_FORMULA) else flat


def _code(text: str) -> str:
    """Return a customer's text as a code span, in which it is no markup."""
    flat = " ".join(text.encode("utf-8", "replace").decode("utf-8").replace("`", "'").split())
    return f"`{flat[:200]}`"


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        # Customers' words: readable by their owner only.
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror}); free space or name another folder with --out"
        ) from error
