"""What serves now, looked at before every turn: a new index version or champion takes effect between two messages.

A look is a few ``stat`` calls on the pointer files; only when one of them changed are the versions read again. Knows
pointers and a loader; nothing of what the loader builds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

LOG = logging.getLogger("deskhand")
Part = TypeVar("Part")
_Stamp = tuple[tuple[int, int, int], ...]


class Live(Generic[Part]):
    """Calls give the parts that serve now; safe to share between threads."""

    def __init__(self, pointers: Sequence[Path], load: Callable[[], Part]) -> None:
        """Load once.

        Args:
            pointers: Files that are replaced when a version changes; they may be missing.
            load: Builds the parts from what the pointers name; may raise.
        """
        self._pointers = tuple(pointers)
        self._load = load
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._parts = load()

    def __call__(self) -> Part:
        """Return the parts, read again if a pointer changed.

        Raises:
            DeskhandError: If the new versions cannot be read; the next call tries again.
        """
        stamp = self._stamp()
        if stamp != self._seen:
            with self._lock:
                if stamp != self._seen:
                    self._parts = self._load()
                    self._seen = stamp
                    LOG.info("index or adapters changed; the new versions serve")
        return self._parts

    def _stamp(self) -> _Stamp:
        found = []
        for pointer in self._pointers:
            try:
                stat = pointer.stat()
                found.append((stat.st_mtime_ns, stat.st_ino, stat.st_size))
            except FileNotFoundError:
                found.append((0, 0, 0))
        return tuple(found)
