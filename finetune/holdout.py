"""The frozen holdout of a task: rows that candidates are judged by and that nothing is ever trained on.

One JSON Lines file in the home folder. It grows by the newest conversations of each night that was promoted, and loses rows
whose conversation was erased. Which rows of a night are held out is written down before anything is trained on the others, as
hashes, so that a night that was killed holds the same ones out when it goes on. Knows rows and files; where rows come from,
``retrain.py`` knows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from assistant.adapter_files import replace_text
from assistant.errors import TrainingError
from finetune.harvested import Example, Pair
from finetune.time_split import split_by_time
from finetune.wording import normalise

Row = Example | Pair
R = TypeVar("R", bound=Row)
#: Rows without which the holdout is not halved: a temperature wants some hundred, and so does a calibration error.
LEAST_HALVED = 200
#: Most that the first holdout takes of the rows there are, where the usual share is too little to judge by.
FIRST_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Holdout:
    """The frozen rows, and those of this night that join them if its candidate is promoted; ``least`` are needed to judge."""

    path: Path
    frozen: tuple[Row, ...]
    fresh: tuple[Row, ...]
    least: int = 1

    @property
    def judged(self) -> tuple[Row, ...]:
        """Return what judges tonight: the frozen rows, for tonight's may be poisoned; all where those do not suffice."""
        return self.frozen if len(self.frozen) >= max(self.least, 1) else self.all

    @property
    def all(self) -> tuple[Row, ...]:
        """Return every row that must not be trained on."""
        return (*self.frozen, *self.fresh)

    def freeze(self) -> None:
        """Keep this night's rows for the nights to come; a second time changes nothing."""
        write_holdout(self.path, [*self.frozen, *without(self.fresh, self.frozen)])


def pair_key(question: str, reply: str) -> str:
    """Return what two pairs share that teach the same: the customer's last words and the reply."""
    return f"{normalise(question)}\n{normalise(reply)}"


def key_of(row: Row) -> str:
    """Return what must not stand both in the holdout and in training."""
    if isinstance(row, Pair):
        return pair_key(next((text for role, text in reversed(row.context) if role == "customer"), ""), row.reply)
    return normalise(row.text)


def calibrating(rows: Sequence[Row]) -> tuple[Example, ...]:
    """Return the half of the judged rows that a temperature is fitted on; calibration is judged on the other half.

    Which half a row is in hangs on its text alone, so it is the same one every night and for every version.

    Args:
        rows: The rows that judge a night.

    Returns:
        Examples; none where there are fewer than ``LEAST_HALVED``.
    """
    examples = [row for row in rows if isinstance(row, Example)]
    if len(examples) < LEAST_HALVED:
        return ()
    return tuple(row for row in examples if hashlib.sha256(key_of(row).encode("utf-8", "surrogatepass")).digest()[0] % 2)


def without(rows: Iterable[R], held: Iterable[Row]) -> list[R]:
    """Return the rows that share neither key nor conversation with what is held out."""
    held = list(held)
    keys, refs = {key_of(row) for row in held}, {row.ref for row in held if row.ref}
    return [row for row in rows if row.ref not in refs and key_of(row) not in keys]


def hold_out(
    new: Sequence[Row], frozen: Sequence[Row], taught: Collection[str], excluded: Collection[str], share: float, least: int
) -> list[Row]:
    """Choose which of a night's rows are held out: the newest conversations, and nothing a champion was ever trained on.

    Nor a row that a champion labelled itself, for it would be judged by its own opinion.

    Args:
        new: The night's rows.
        frozen: The frozen holdout.
        taught: Keys of all that earlier nights and the company's own rows hold.
        excluded: Conversations that stay in training: known to earlier nights, or corrected by a person, whose word is to be
            learned.
        share: Share of the rows that are held out.
        least: Rows the gate needs; where there are fewer, the share rises up to ``FIRST_SHARE`` to reach them.

    Returns:
        The rows, oldest first. Those without a conversation stay in training, for they could not be erased later.
    """
    open_rows = [
        row
        for row in without(new, frozen)
        if row.ref and row.ref not in excluded and key_of(row) not in taught and not _by_champion(row)
    ]
    if len(open_rows) < 2:
        return []
    missing = least - len(frozen)
    if len(open_rows) * share < missing:
        share = max(share, min(FIRST_SHARE, missing / len(open_rows)))
    return list(split_by_time(open_rows, share).holdout)


def held_again(rows: Sequence[Row], path: Path, choose: Callable[[], Sequence[Row]]) -> list[Row]:
    """Return the rows that were written down as held out, or choose and write them down first.

    Args:
        rows: All rows of the night.
        path: Where the night's choice is kept; hashes of keys only, so that nothing of an erased customer stays.
        choose: Chooses them; called where there is no such file.

    Returns:
        The held rows that are still there.

    Raises:
        TrainingError: If the file cannot be read.
    """
    if path.is_file():
        try:
            marks = set(json.loads(path.read_text(encoding="utf-8"))["held"])
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path}: cannot be read ({error}); delete it, and the night chooses again") from error
        return [row for row in rows if _mark(row) in marks]
    held = list(choose())
    replace_text(path, json.dumps({"held": sorted(_mark(row) for row in held)}) + "\n")
    return held


def read_holdout(path: Path, find: Callable[[Row], str | None]) -> list[Row]:
    """Read the frozen rows.

    Args:
        path: The file; a missing one is an empty holdout.
        find: Tells where a row's conversation stands now, ``None`` where it is no longer in the store; such rows are left
            out. Rows without a ref were given by the company and stay.

    Returns:
        The rows in file order.

    Raises:
        TrainingError: If a line cannot be read.
    """
    if not path.is_file():
        return []
    rows: list[Row] = []
    for line, text in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = _row(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise TrainingError(
                f"{path}:{line}: is no holdout row ({error}); rows need 'text' and 'label', or 'context' and 'reply'"
            ) from error
        ref = find(row) if row.ref else ""
        if ref is not None:
            rows.append(replace(row, ref=ref))
    return rows


def prune_holdout(path: Path, find: Callable[[Row], str | None]) -> int:
    """Take the rows out of the file whose conversation is no longer in the store.

    Args:
        path: The file.
        find: As ``read_holdout`` takes it.

    Returns:
        How many went.

    Raises:
        TrainingError: If a line cannot be read.
    """
    kept = read_holdout(path, find)
    gone = len(read_holdout(path, lambda row: row.ref)) - len(kept)
    if gone:
        write_holdout(path, kept)
    return gone


def write_holdout(path: Path, rows: Sequence[Row]) -> None:
    """Replace the file, whole or not at all."""
    replace_text(path, "".join(json.dumps(_value(row), ensure_ascii=False) + "\n" for row in rows))


def _by_champion(row: Row) -> bool:
    return isinstance(row, Example) and row.trust == "agreement"


def _mark(row: Row) -> str:
    return hashlib.sha256(f"{key_of(row)}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _row(value: dict[str, Any]) -> Row:
    at = datetime.fromisoformat(value["at"]) if value.get("at") else None
    ref, lang = str(value.get("ref") or ""), str(value.get("lang") or "und")
    if "reply" in value:
        context = tuple((str(role), str(text)) for role, text in value["context"])
        if not context or not str(value["reply"]).strip():
            raise TypeError(f"got {str(value)[:80]}")
        return Pair(context, str(value["reply"]), ref, at, lang)
    text, label = value["text"], value["label"] if "label" in value else value["intent"]
    if not isinstance(text, str) or not isinstance(label, str) or not text.strip() or not label.strip():
        raise TypeError(f"got {str(value)[:80]}")
    return Example(text, label.strip(), ref, lang, at, "person")


def _value(row: Row) -> dict[str, Any]:
    common = {"ref": row.ref, "lang": row.lang, "at": row.at.isoformat() if row.at else None}
    if isinstance(row, Pair):
        return {"context": [list(turn) for turn in row.context], "reply": row.reply, **common}
    return {"text": row.text, "label": row.label, **common}
