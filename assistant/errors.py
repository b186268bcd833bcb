"""Every error Deskhand raises on purpose.

    DeskhandError
    ├── SettingsError      a setting is unknown, missing or out of range
    ├── TranscriptError    a row or file of logs or articles cannot be read
    ├── StoreError         the database cannot be reached, or holds something else
    ├── IndexVersionError  an index version is missing, damaged or of another encoder
    ├── EncoderError       the base encoder cannot be found or is not the one expected
    ├── RegistryError      an adapter version is missing, damaged or of a foreign base
    ├── TrainingError      examples do not allow the training asked for
    └── UsageError         a command was called in a way that cannot work

A message says what went wrong, with which value, where (``file:line``) and the mend.
Only the edge (command line, server) turns these into text for people; nothing below it catches them broadly.
"""

from __future__ import annotations

from collections.abc import Sequence


class DeskhandError(Exception):
    """Root of all errors raised on purpose; ``str(error)`` is meant to be read by the user."""


class SettingsError(DeskhandError):
    """One or more settings are wrong; ``faults`` lists all of them at once."""

    def __init__(self, faults: Sequence[str], source: str = "settings") -> None:
        """Join the faults into one readable message."""
        self.faults = tuple(faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{source}: {len(self.faults)} setting(s) need mending:\n{lines}")


class TranscriptError(DeskhandError):
    """A log or article file holds something that cannot be read; names ``file:line``."""


class StoreError(DeskhandError):
    """The store cannot be opened, migrated or written."""


class IndexVersionError(DeskhandError):
    """An index version is missing, damaged, or was built by another encoder."""


class EncoderError(DeskhandError):
    """The base encoder cannot be resolved or its weights do not match their checksum."""


class RegistryError(DeskhandError):
    """An adapter version is missing, damaged, unsafe, or made for another base."""


class TrainingError(DeskhandError):
    """The examples do not allow the training that was asked for."""


class UsageError(DeskhandError):
    """A command was called in a way that cannot work; exit code 2."""
