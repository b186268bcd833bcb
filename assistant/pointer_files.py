"""Small files that survive a kill at any instant: pointers replaced by rename, a record that only grows, one writer at a time.

Knows files and folders; which pointers there are and what they mean is in ``registry.py``.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.adapter_files import replace_text


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A candidate that was taken out: when it had begun and ended (ISO 8601), why, and the figures of both arms then."""

    version: str
    reason: str
    at: str
    share: float | None = None
    started_at: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


def read_withdrawals(path: Path) -> list[Withdrawal]:
    """Read a record of withdrawals, oldest first; a line that a crash tore is left out."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Withdrawal(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


@contextmanager
def changing(folder: Path, pointers: Sequence[str]) -> Iterator[Path]:
    """Hold a folder's lock while its pointers are read and replaced; waits for another writer, and a killed one lets go.

    Args:
        folder: The folder, made where it is missing.
        pointers: Names of the files in it that are replaced.

    Yields:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for name in pointers:
            for left in folder.glob(f".{name}.*"):  # of a process that was killed while it wrote
                left.unlink(missing_ok=True)
        yield folder
    finally:
        os.close(handle)


def read_lines(path: Path) -> list[str]:
    """Return the words of a pointer, one to a line; none if it is missing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").split()
    except FileNotFoundError:
        return []


def write_pointer(path: Path, text: str) -> None:
    """Replace a pointer, whole or not at all, and bring the rename itself to the disk."""
    replace_text(path, text)
    flush(path.parent)


def append_line(path: Path, line: str) -> None:
    """Add a line to a record by one write, on a line of its own even where a crash tore the one before."""
    before = path.read_bytes() if path.exists() else b""
    torn = b"\n" if before and not before.endswith(b"\n") else b""
    with path.open("ab", buffering=0) as stream:
        stream.write(torn + line.encode("utf-8", "replace") + b"\n")
        os.fsync(stream.fileno())


def flush(path: Path) -> None:
    """Bring a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
