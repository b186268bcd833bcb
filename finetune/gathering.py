"""The store -> what people wrote up to a moment, each with when it came in; and the book of conversations seen before.

A conversation came in when its log was ingested. A log that grows and is ingested anew every night would make all of it new
each time, so the book (one small file for each task, of hashes only) keeps the night that saw a conversation first, as long as
it says the same. Knows the store's words only; comes before the harvest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from assistant.adapter_files import replace_text
from assistant.errors import TrainingError
from assistant.learning import Correction, transcript_ref
from assistant.store import Store
from finetune.harvested import Conversation, Decided
from finetune.holdout import Row, key_of, pair_key
from finetune.openings import is_resolved
from finetune.wording import normalise

#: Of a conversation -> the end of the night that saw it first.
Seen = Mapping[str, datetime]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, the beginning exclusive; ``since`` is ``None`` for always."""

    since: datetime | None
    until: datetime

    def holds(self, at: datetime | None) -> bool:
        """Say whether a moment lies in it; an unknown moment lies in none that has a beginning."""
        if at is None:
            return self.since is None
        return (self.since is None or at > self.since) and at <= self.until


@dataclass(frozen=True, slots=True)
class Gathered:
    """What people wrote.

    Attributes:
        came: When each conversation came in, by ref.
        marks: The mark of each conversation for the book, by ref.
        names: Names of the logs, by the id of their source.
    """

    conversations: tuple[Conversation, ...]
    corrections: tuple[Correction, ...]
    decided: tuple[Decided, ...]
    came: Mapping[str, datetime] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Say whether there is nothing."""
        return not (self.conversations or self.corrections or self.decided)

    @property
    def refs(self) -> frozenset[str]:
        """Return the conversations everything comes from; what was written by hand comes from none."""
        parts = (self.conversations, self.corrections, self.decided)
        return frozenset(one.ref for part in parts for one in part if one.ref)

    @property
    def corrected(self) -> frozenset[str]:
        """Return the conversations that corrections stand in."""
        return frozenset(one.ref for one in self.corrections)

    def within(self, window: Window, aside: Sequence[Window] = ()) -> Gathered:
        """Return what came in within a window and in none of those that are left aside."""

        def wanted(at: datetime | None) -> bool:
            return window.holds(at) and not any(one.holds(at) for one in aside)

        return Gathered(
            tuple(one for one in self.conversations if wanted(self.came[one.ref])),
            tuple(one for one in self.corrections if wanted(one.at)),
            tuple(one for one in self.decided if wanted(one.at)),
            self.came,
            self.marks,
            self.names,
        )

    def keys(self, task: str) -> frozenset[str]:
        """Return the keys (``holdout.key_of``) of every row of a task that could ever be made of this, and of some more.

        Whatever a champion was trained on is among the keys of what came in before it.
        """
        dialog = task == "dialog"
        found = {_decided_key(one.question, one.answer, dialog) for one in self.corrections}
        found |= {normalise(one.text) for one in self.decided}
        for one in self.conversations:
            question = ""
            for turn in one.transcript.turns:
                if turn.role == "customer":
                    question = turn.text
                    found.add(normalise(question))
                elif dialog and turn.role == "agent":
                    found.add(pair_key(question, turn.text))
        return frozenset(found)

    def source_names(self, refs: Sequence[str]) -> list[str]:
        """Return the names of what refs belong to: logs by their names, live conversations as ``live conversations``."""
        ids = {ref.partition(":")[2].partition("/")[0] for ref in refs if ref.startswith("transcript:")}
        live = {"live conversations"} if any(ref.startswith("conversation:") for ref in refs) else set()
        return sorted({self.names.get(id, id) for id in ids} | live)

    def finder(self) -> Callable[[Row], str | None]:
        """Return a function that tells where a row's conversation stands now, ``None`` where it was erased.

        A log that was replaced by a newer one has another id; its conversations keep theirs, and what they say.
        """
        refs = self.refs
        by_id: dict[str, list[Conversation]] = {}
        for one in self.conversations:
            by_id.setdefault(one.ref.partition("/")[2], []).append(one)

        def find(row: Row) -> str | None:
            if row.ref in refs:
                return row.ref
            for one in by_id.get(row.ref.partition("/")[2], ()) if row.ref.startswith("transcript:") else ():
                task = "intent" if hasattr(row, "label") else "dialog"
                if key_of(row) in Gathered((one,), (), ()).keys(task):
                    return one.ref
            return None

        return find


def gather(store: Store, task: str, since: datetime | None, until: datetime, seen: Seen | None = None) -> Gathered:
    """Read everything that came in up to a moment.

    Args:
        store: The store.
        task: Whose decided rows are read.
        since: End of the night before; a conversation not in the book came in after it, however long its ingestion took.
        until: What came in later waits.
        seen: The book; ``None`` where there is none yet, then the time of ingestion counts.

    Returns:
        Conversations, corrections, and rows of the review queue that a person decided.
    """
    learning = store.learning
    conversations: list[Conversation] = []
    came: dict[str, datetime] = {}
    marks: dict[str, str] = {}
    sources = learning.sources_since(None)
    for source in sources:
        for one in store.iter_transcripts(source.id):
            ref = transcript_ref(source.id, one.id)
            # A conversation that goes on, or is resolved at last, is a new one.
            told = f"{source.name}\n{one.id}\n{len(one.turns)}\n{is_resolved(one)}\n{one.intent}"
            mark = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            at = source.ingested_at
            if seen is not None:
                at = seen.get(mark, until if since is not None and at <= since else at)
            if at <= until:
                conversations.append(Conversation(ref, one))
                came[ref], marks[ref] = at, mark
    corrections = [one for one in learning.corrections() if one.at <= until]
    decided = [
        Decided(one.text, one.label, one.ref, one.lang, one.decided_at)
        for one in learning.labelled(task)
        if one.label and one.decided_at is not None and one.decided_at <= until
    ]
    names = {source.id: source.name for source in sources}
    return Gathered(tuple(conversations), tuple(corrections), tuple(decided), came, marks, names)


def read_seen(path: Path) -> Seen | None:
    """Read the book of conversations seen before.

    Returns:
        The book, ``None`` if there is none.

    Raises:
        TrainingError: If it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        nights = json.loads(path.read_text(encoding="utf-8"))
        return {str(mark): datetime.fromisoformat(at) for at, marks in nights.items() for mark in marks}
    except (ValueError, TypeError, AttributeError) as error:
        mend = "delete it, then conversations count as new by the time their log was ingested"
        raise TrainingError(f"{path}: is no book of seen conversations ({error}); {mend}") from error


def write_seen(path: Path, gathered: Gathered, since: datetime | None, until: datetime) -> None:
    """Replace the book, whole or not at all; what is no longer in the store falls out of it.

    Args:
        path: The file.
        gathered: Everything up to ``until``.
        since: End of the night before; what came in after it is entered as seen by this night.
        until: End of this night.
    """
    nights: dict[str, list[str]] = {}
    for ref, at in gathered.came.items():
        night = until if since is None or at > since else at
        nights.setdefault(night.isoformat(), []).append(gathered.marks[ref])
    replace_text(path, json.dumps({at: sorted(marks) for at, marks in sorted(nights.items())}) + "\n")


def _decided_key(question: str, answer: str, dialog: bool) -> str:
    return pair_key(question, answer) if dialog else normalise(question)
