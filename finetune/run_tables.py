"""Judged texts -> the tables of a run's page: figures of every label, pairs that are mixed up, the worst mistakes.

Counts only; knows no file and nothing of HTML. Before: a task's training. After: ``run_page``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN_LABEL = "(label unknown to this version)"
Spans = Sequence[tuple[int, int, str]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a classifier said of n texts, n at least 1, and what is true.

    Attributes:
        labels: The C class names.
        truth: Class rows ``(n,)``; -1 for a label the classifier does not know.
        chances: Calibrated chances ``(n, C)``.
        texts: The n texts.
    """

    labels: Sequence[str]
    truth: NDArray[np.int64]
    chances: NDArray[np.float32]
    texts: Sequence[str]

    def name(self, row: int) -> str:
        """Return the name of a class row."""
        return self.labels[row] if row >= 0 else UNKNOWN_LABEL


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One label's figures; a share that nothing was counted for is None."""

    label: str
    support: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """A text that was labelled wrong; chances are in [0, 1], that of the truth None if its label is unknown."""

    text: str
    truth: str
    predicted: str
    confidence: float
    truth_chance: float | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one label was taken for another, as a count and as a share of the true label, with the surest example."""

    truth: str
    predicted: str
    count: int
    share: float
    example: str


@dataclass(frozen=True, slots=True)
class SlotFaults:
    """How many values of a slot were missed, and how many were found where there are none."""

    slot: str
    missed: int
    invented: int


def class_rows(judged: Judged) -> list[ClassRow]:
    """Count precision, recall and F1 of every label, the worst F1 first, labels that never occur last."""
    size, predicted = len(judged.labels), judged.chances.argmax(axis=1)
    support = np.bincount(judged.truth[judged.truth >= 0], minlength=size).tolist()
    guessed = np.bincount(predicted, minlength=size).tolist()
    hits = np.bincount(predicted[predicted == judged.truth], minlength=size).tolist()
    rows = [
        ClassRow(label, wanted, _ratio(hit, said), _ratio(hit, wanted), _ratio(2 * hit, said + wanted))
        for label, wanted, said, hit in zip(judged.labels, support, guessed, hits, strict=True)
    ]
    return sorted(rows, key=lambda row: (2.0 if row.f1 is None else row.f1, -row.support, row.label))


def worst_mistakes(judged: Judged) -> list[Mistake]:
    """Return the texts that were labelled wrong, the surest first."""
    predicted, confidence = judged.chances.argmax(axis=1), judged.chances.max(axis=1)
    wrong = np.flatnonzero(predicted != judged.truth)
    mistakes = []
    for row in wrong[np.argsort(-confidence[wrong], kind="stable")].tolist():
        right = int(judged.truth[row])
        chance = float(judged.chances[row, right]) if right >= 0 else None
        said = judged.name(int(predicted[row]))
        mistakes.append(Mistake(judged.texts[row], judged.name(right), said, float(confidence[row]), chance))
    return mistakes


def confusions(judged: Judged, mistakes: Sequence[Mistake]) -> list[Confusion]:
    """Count which label was taken for which, the most frequent pair first.

    Args:
        judged: All rows, for the share.
        mistakes: All of its mistakes, the surest first.

    Returns:
        One row per pair; its example is the surest of its mistakes.
    """
    counts = Counter((one.truth, one.predicted) for one in mistakes)
    examples = {(one.truth, one.predicted): one.text for one in reversed(mistakes)}
    support = Counter(judged.name(row) for row in judged.truth.tolist())
    pairs = sorted(counts, key=lambda pair: (-counts[pair], pair))
    return [Confusion(*pair, counts[pair], counts[pair] / support[pair[0]], examples[pair]) for pair in pairs]


def slot_faults(judged: Iterable[tuple[Spans, Spans]]) -> list[SlotFaults]:
    """Count faults by slot, the most mistaken first.

    Args:
        judged: Wanted and found spans ``(start, end, slot)`` of each text.

    Returns:
        One row per slot with a fault.
    """
    missed: Counter[str] = Counter()
    invented: Counter[str] = Counter()
    for wanted, found in judged:
        missed.update(slot for _, _, slot in set(wanted) - set(found))
        invented.update(slot for _, _, slot in set(found) - set(wanted))
    slots = sorted(missed | invented, key=lambda slot: (-missed[slot] - invented[slot], slot))
    return [SlotFaults(slot, missed[slot], invented[slot]) for slot in slots]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
