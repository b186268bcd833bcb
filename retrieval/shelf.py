"""Passages on disk: JSON lines decoded one by one when asked for, and the columns that filters need.

Knows nothing of vectors or words. A row is a passage's place in its index version.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.records import Passage

if TYPE_CHECKING:
    from numpy.typing import NDArray

LINES, OFFSETS, KINDS, LANGS, TIMES, NAMES = (
    "passages.jsonl", "offsets.npy", "kinds.npy", "langs.npy", "times.npy", "names.json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shelf:
    """The ``n`` passages of one version."""

    lines: bytes
    offsets: NDArray[np.int64]  # (n + 1,)
    kinds: NDArray[np.uint16]  # (n,) places in kind_names
    langs: NDArray[np.uint16]  # (n,) places in lang_names
    times: NDArray[np.float64]  # (n,) seconds since 1970, NaN for undated
    kind_names: list[str]
    lang_names: list[str]

    def __len__(self) -> int:
        """Return the number of passages."""
        return len(self.kinds)

    def passage(self, row: int) -> Passage:
        """Decode one passage."""
        values: dict[str, Any] = json.loads(self.lines[int(self.offsets[row]) : int(self.offsets[row + 1])])
        values["at"] = datetime.fromisoformat(values["at"]) if values["at"] else None
        values["required_slots"] = tuple(values["required_slots"])
        return Passage(**values)

    def passages(self) -> list[Passage]:
        """Decode all passages, in row order."""
        return [self.passage(row) for row in range(len(self))]

    def of_lang(self, lang: str) -> NDArray[np.bool_]:
        """Say which rows ``(n,)`` are in a language."""
        if lang not in self.lang_names:
            return np.zeros(len(self), dtype=bool)
        found: NDArray[np.bool_] = self.langs == self.lang_names.index(lang)
        return found

    def select(
        self, kinds: Sequence[str] | None, lang: str | None, since: datetime | None, until: datetime | None
    ) -> NDArray[np.bool_] | None:
        """Say which rows pass all filters.

        Args:
            kinds: Kinds allowed; ``None`` for all.
            lang: Language wanted; ``None`` for all.
            since: Dated passages from this moment on. Undated ones (articles, templates) always hold.
            until: Dated passages before this moment.

        Returns:
            ``(n,)`` booleans, or ``None`` where nothing is filtered.
        """
        if kinds is None and lang is None and since is None and until is None:
            return None
        keep = np.ones(len(self), dtype=bool)
        if kinds is not None:
            keep &= np.isin(self.kinds, [place for place, name in enumerate(self.kind_names) if name in kinds])
        if lang is not None:
            keep &= self.of_lang(lang)
        if since is not None:
            keep &= ~(self.times < _seconds(since))  # NaN compares false, so undated rows stay
        if until is not None:
            keep &= ~(self.times >= _seconds(until))
        return keep


def save_shelf(passages: Sequence[Passage], folder: Path) -> None:
    """Write passages and columns.

    Args:
        passages: In row order.
        folder: An existing folder.
    """
    kind_names = sorted({one.kind for one in passages})
    lang_names = sorted({one.lang for one in passages})
    offsets = [0]
    with (folder / LINES).open("wb") as stream:
        for one in passages:
            values = asdict(one) | {"at": one.at.isoformat() if one.at else None}
            line = (json.dumps(values, ensure_ascii=False) + "\n").encode("utf-8", "replace")
            offsets.append(offsets[-1] + stream.write(line))
    columns: dict[str, NDArray[Any]] = {
        OFFSETS: np.array(offsets, np.int64),
        KINDS: np.array([kind_names.index(one.kind) for one in passages], np.uint16),
        LANGS: np.array([lang_names.index(one.lang) for one in passages], np.uint16),
        TIMES: np.array([_seconds(one.at) if one.at else np.nan for one in passages], np.float64),
    }
    for name, column in columns.items():
        np.save(folder / name, column, allow_pickle=False)
    (folder / NAMES).write_text(json.dumps({"kinds": kind_names, "langs": lang_names}), encoding="utf-8")


def load_shelf(folder: Path) -> Shelf:
    """Read what ``save_shelf`` wrote; the caller has verified the checksums."""
    offsets, kinds, langs, times = (np.load(folder / name, allow_pickle=False) for name in (OFFSETS, KINDS, LANGS, TIMES))
    names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
    return Shelf((folder / LINES).read_bytes(), offsets, kinds, langs, times, names["kinds"], names["langs"])


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
