"""Which folders ``adapters discover`` wrote customers' words into, and what becomes of those files when one is forgotten.

A small list under ``$DESKHAND_HOME`` remembers the folders, for a user may name any. Files below the home are deleted; those
elsewhere are the user's own, and are named. Knows nothing of what the files say. Before: ``discovery.py``. After: ``intake.py``.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assistant.errors import DeskhandError

LIST = "discoveries.json"
#: Where proposals go when no folder is named; looked at whether or not the list knows it.
FOLDER = "discover"


@dataclass(frozen=True, slots=True)
class Erased:
    """Files that were deleted, and files that are there still and may hold words of whoever was forgotten."""

    deleted: tuple[Path, ...]
    left: tuple[Path, ...]


def note_folder(place: Path, folder: Path) -> None:
    """Remember a folder before a proposal is written into it.

    Args:
        place: The home folder; it is there.
        folder: The folder.

    Raises:
        DeskhandError: If the list cannot be read or written.
    """
    known = _folders(place)
    whole = folder.resolve()
    if whole in known:
        return
    path, fresh = place / LIST, place / f".{LIST}-{secrets.token_hex(8)}"
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            json.dump([str(one) for one in (*known, whole)], stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise DeskhandError(f"{path}: cannot be written ({error.strerror or error}); free space, or mend its rights") from error


def erase_discovered(place: Path, names: Iterable[str], *, known: bool) -> Erased:
    """Delete the files of proposals below the home; twice is the same as once.

    Args:
        place: The home folder.
        names: Names of the files of a proposal.
        known: Whether the contact is in the store. If not, nothing is deleted, since nobody's words can be meant but those of a
            file that was named with ``--data``; the files are named then.

    Returns:
        What was deleted and what is left.

    Raises:
        DeskhandError: If the list cannot be read, or a file cannot be deleted.
    """
    whole = place.resolve()
    deleted, left = [], []
    for path in _written([whole / FOLDER, *_folders(place)], tuple(names)):
        if not (known and path.parent.resolve().is_relative_to(whole)):
            left.append(path)
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise DeskhandError(
                f"{path}: cannot be deleted ({error.strerror or error}) and may hold the contact's words; delete it and repeat"
            ) from error
        deleted.append(path)
    return Erased(tuple(deleted), tuple(left))


def _written(folders: Iterable[Path], names: tuple[str, ...]) -> Iterator[Path]:
    """Yield the proposals of folders that are there, and beside them what a writer that was killed left behind."""
    for folder in dict.fromkeys(folders):
        for name in names:
            yield from (path for path in (folder / name, *sorted(folder.glob(f".{name}-*"))) if path.is_file())


def _folders(place: Path) -> tuple[Path, ...]:
    path = place / LIST
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise DeskhandError(f"{path}: cannot be read ({error}); mend it, or delete it and look for proposals yourself") from error
    if not isinstance(read, list) or not all(isinstance(one, str) for one in read):
        raise DeskhandError(f"{path}: is no list of folders; mend it, or delete it and look for proposals yourself")
    return tuple(Path(one) for one in read)
