"""One writer at a time: an exclusive lock on the folder of index versions.

The operating system holds the lock for as long as the process lives, so a killed one leaves none behind; the file's only
content is the holder's process id, for the message. Knows nothing of what is done under the lock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assistant.errors import IndexVersionError

LOCK = ".lock"


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Args:
        root: The folder, made where it is missing.

    Yields:
        Nothing; the lock is held until the ``with`` block ends.

    Raises:
        IndexVersionError: If another process or thread holds it; names its process id.
    """
    root.mkdir(parents=True, exist_ok=True)
    handle = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            raise IndexVersionError(
                f"{root}: process {holder} is changing the index; wait until it is done, or stop it and try again"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)  # lets go of the lock; the file stays, since deleting it would let two processes hold two locks
