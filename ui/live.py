"""What serves now, looked at before every turn: a new index version, champion or candidate takes effect between two messages.

A look is a few ``stat`` calls on the pointer files; only when one of them changed are the versions read again. While a
candidate is tried, a conversation's id decides which of the loaded parts answers it. Knows pointers, arms and a loader;
nothing of what the loader builds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from assistant.rollout import Candidate, arm

LOG = logging.getLogger("deskhand")
Part = TypeVar("Part")
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Arms(Generic[Part]):
    """The parts by the tasks whose candidate answers; the empty set is the champions' part. Calls choose by conversation."""

    parts: Mapping[frozenset[str], Part]
    candidates: Mapping[str, Candidate]

    def __call__(self, conversation_id: str) -> Part:
        """Return the part that answers a conversation; for an empty id the champions'."""
        if not conversation_id:
            return self.parts[frozenset()]
        tried = (task for task, one in self.candidates.items() if arm(conversation_id, task, one.version, one.share))
        return self.parts[frozenset(tried)]


class Live(Generic[Part]):
    """Calls give the parts that serve a conversation now; safe to share between threads."""

    def __init__(self, pointers: Sequence[Path], load: Callable[[], Callable[[str], Part]]) -> None:
        """Load once.

        Args:
            pointers: Files that are replaced when a version changes; they may be missing.
            load: Builds the parts from what the pointers name, and returns how to choose among them; may raise.
        """
        self._pointers = tuple(pointers)
        self._load = load
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._choose = load()

    def __call__(self, conversation_id: str = "") -> Part:
        """Return the parts that answer a conversation, read again if a pointer changed.

        Args:
            conversation_id: Its id; empty for what serves without a trial.

        Returns:
            The parts; one turn keeps to them from beginning to end.

        Raises:
            DeskhandError: If the new versions cannot be read; the next call tries again.
        """
        if self._stamp() != self._seen:
            with self._lock:
                stamp = self._stamp()  # again, for another thread may have loaded what came later
                if stamp != self._seen:
                    self._choose = self._load()
                    self._seen = stamp
                    LOG.info("index or adapters changed; the new versions serve")
        return self._choose(conversation_id)

    def _stamp(self) -> _Stamp:
        found = []
        for pointer in self._pointers:
            try:
                stat = pointer.stat()
                found.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
            except FileNotFoundError:
                found.append((0, 0, 0))
        return tuple(found)
