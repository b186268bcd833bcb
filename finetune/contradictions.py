"""Labels that cannot all be right: equal texts labelled differently, and agents' labels that nothing else supports.

Comes after the labels were gathered and before anything is learned from them. Knows no encoder: vectors are passed in.

Doubting a label on the word of a confident model is confident learning (Northcutt, Jiang and Chuang 2021, "Confident
Learning: Estimating Uncertainty in Dataset Labels"); here the retrieved evidence must doubt it as well, because the champion
is most sure of itself where it was taught wrongly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import TrainingError
from finetune.harvested import LEVELS, Example, SetAside, moment
from finetune.opinions import Opinion
from finetune.wording import normalise, overlap, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vectors = Callable[[Sequence[str]], "NDArray[np.float32]"]

_LEAST_SHARED_WORDS = 0.5
_BLOCK = 512
#: One doubted label is a slip; where so large a share is doubted, the doubt falls on those nobody was sure about, too.
_DOUBTED_FLOW = 0.5
_DOUBTED_NIGHT = 0.25
_LEAST_NIGHT = 20


@dataclass(frozen=True, slots=True)
class Sifted:
    """Examples that stand, those set aside, and how many repeated a text."""

    kept: list[Example]
    set_aside: list[SetAside]
    duplicates: int = 0


def doubt(examples: Sequence[Example], opinions: Sequence[Opinion | None], suspicion: float, least: int) -> Sifted:
    """Set aside agents' labels that the champion and the evidence contradict.

    Beyond single labels two patterns are looked for, which a slip does not make: one intent labelled as another (at least
    ``least`` labels that go from the champion's one intent to the same other one, half of them doubted), and a whole harvest
    gone wrong (a quarter of at least twenty checked labels doubted). There every label that the champion contradicts goes.

    Args:
        examples: What agents did (trust ``action``); others pass.
        opinions: Of champion and evidence, in the same order; ``None`` where the label is new to the champion.
        suspicion: The champion's probability from which it may doubt.
        least: Size from which a pattern counts.

    Returns:
        What stands and what is set aside.
    """
    checked: dict[int, Opinion] = {
        row: opinion
        for row, (one, opinion) in enumerate(zip(examples, opinions, strict=True))
        if opinion is not None and one.trust == "action"
    }
    against = {row for row, opinion in checked.items() if opinion.label != examples[row].label}
    doubted = {
        row
        for row in against
        if checked[row].confidence >= suspicion and checked[row].evidence not in (None, examples[row].label)
    }
    flows: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in against:
        flows[checked[row].label, examples[row].label].add(row)
    reasons = dict.fromkeys(doubted, "champion and evidence both say otherwise")
    for rows in flows.values():
        if len(rows) >= least and len(rows & doubted) >= _DOUBTED_FLOW * len(rows):
            because = f"{len(rows & doubted)} of {len(rows)} labels that go the same way are doubted"
            reasons = dict.fromkeys(rows, because) | reasons
    if len(checked) >= _LEAST_NIGHT and len(doubted) >= _DOUBTED_NIGHT * len(checked):
        because = f"{len(doubted)} of {len(checked)} labels checked in this harvest are doubted"
        reasons = dict.fromkeys(against, because) | reasons
    set_aside = [
        SetAside(
            examples[row],
            "suspicious",
            f"labelled {examples[row].label!r}, champion says {checked[row].label!r} ({checked[row].confidence:.2f}), "
            f"evidence {checked[row].evidence!r}: {reasons[row]}",
        )
        for row in sorted(reasons)
    ]
    return Sifted([one for row, one in enumerate(examples) if row not in reasons], set_aside)


def settle(examples: Sequence[Example]) -> Sifted:
    """Keep one example of each text, with the label of those trusted most.

    Labels of the same trust that differ are all set aside. Two exceptions: who labels one conversation's text again means
    the later label; and a decision in the review queue settles what corrections before it said.

    Args:
        examples: Any order.

    Returns:
        One example for each text, earliest time and first known language of its duplicates filled in.
    """
    groups: dict[str, list[Example]] = defaultdict(list)
    for one in sorted(examples, key=_order):
        groups[normalise(one.text)].append(one)
    kept: list[Example] = []
    set_aside: list[SetAside] = []
    duplicates = 0
    for everyone in groups.values():
        rows = _latest_words(everyone)
        top = [row for row in rows if LEVELS[row.trust] == LEVELS[rows[0].trust]]
        label = top[0].label if len({row.label for row in top}) == 1 else _decided(top)
        if label is None:
            labels = _counted(top)
            set_aside += [SetAside(row, "contradiction", f"the same text is labelled {labels}") for row in rows]
            duplicates += len(everyone) - len(rows)
            continue
        best = next(row for row in top if row.label == label)
        others = [row for row in rows if row.label != label]
        set_aside += [SetAside(row, "outranked", f"a {best.trust} labels the same text {label!r}") for row in others]
        duplicates += len(everyone) - len(others) - 1
        lang = next((row.lang for row in rows if row.lang != "und"), best.lang)
        at = min((row.at for row in everyone if row.at is not None), key=moment, default=None)
        kept.append(replace(best, lang=lang, at=at))
    return Sifted(kept, set_aside, duplicates)


def settle_near(examples: Sequence[Example], vectors: Vectors, near: float) -> Sifted:
    """Treat texts that say nearly the same like equal ones: different labels of one trust fall, higher trust beats lower.

    A near vector alone is not enough, half of the words must be shared too: an encoder that knows a language badly puts
    unlike texts of it on one spot.

    Args:
        examples: One for each text, as ``settle`` leaves them.
        vectors: Texts to unit vectors ``(n, d)``.
        near: Cosine from which two texts are nearly the same.

    Returns:
        The examples that stand; nearly equal texts with equal labels all stay.

    Raises:
        TrainingError: If there is not one vector for each text.
    """
    if len(examples) < 2:
        return Sifted(list(examples), [])
    block = np.asarray(vectors([one.text for one in examples]), dtype=np.float32)
    if block.ndim != 2 or len(block) != len(examples):
        raise TrainingError(f"vectors has shape {block.shape} for {len(examples)} texts; one row for each text is needed")
    pairs = _near_pairs(examples, block, near)
    gone: dict[int, SetAside] = {}
    for level in sorted(set(LEVELS.values())):
        fallen: dict[int, SetAside] = {}
        for one, other in pairs:
            if {one, other} & gone.keys():
                continue
            if LEVELS[examples[one].trust] == LEVELS[examples[other].trust] == level:
                for row, twin in ((one, other), (other, one)):
                    because = f"nearly the same text is labelled {examples[twin].label!r}: {examples[twin].text!r}"
                    fallen[row] = SetAside(examples[row], "contradiction", because)
        gone.update(fallen)
        for one, other in pairs:
            low, high = sorted((one, other), key=lambda row: -LEVELS[examples[row].trust])
            ranks = LEVELS[examples[low].trust], LEVELS[examples[high].trust]
            if ranks[0] > ranks[1] == level and low not in gone and high not in gone:
                because = f"a {examples[high].trust} labels nearly the same text {examples[high].label!r}"
                gone[low] = SetAside(examples[low], "outranked", because)
    return Sifted([one for row, one in enumerate(examples) if row not in gone], [gone[row] for row in sorted(gone)])


def _near_pairs(examples: Sequence[Example], block: NDArray[np.float32], near: float) -> list[tuple[int, int]]:
    labels = np.unique([one.label for one in examples], return_inverse=True)[1]
    bags = [words(one.text) for one in examples]
    pairs = []
    for start in range(0, len(block), _BLOCK):
        close = block[start : start + _BLOCK] @ block.T >= near
        close &= labels[start : start + _BLOCK, None] != labels[None, :]
        for offset, other in np.argwhere(close).tolist():
            if start + offset < other and overlap(bags[start + offset], bags[other]) >= _LEAST_SHARED_WORDS:
                pairs.append((start + offset, other))
    return pairs


def _latest_words(rows: Sequence[Example]) -> list[Example]:
    """Of what one kind of person said about one conversation's text, keep only the latest; ties are left to contradict."""
    latest: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (row.trust, row.ref)
        latest[key] = max(latest.get(key, float("-inf")), moment(row.at))
    return [row for row in rows if LEVELS[row.trust] > 0 or moment(row.at) == latest[row.trust, row.ref]]


def _decided(top: Sequence[Example]) -> str | None:
    """Return the label that the review queue gave, unless its decisions differ or a differing correction came later."""
    decisions = [row for row in top if row.trust == "person"]
    if len({row.label for row in decisions}) != 1:
        return None
    label = decisions[0].label
    last = max(float("inf") if row.at is None else moment(row.at) for row in decisions)
    return label if all(row.label == label or moment(row.at) <= last for row in top) else None


def _counted(rows: Sequence[Example]) -> str:
    counts = Counter(row.label for row in rows)
    return ", ".join(f"{label!r} ({count})" for label, count in sorted(counts.items()))


def _order(one: Example) -> tuple[int, str, float, str, str, str, str]:
    """Most trusted first, a decision before a correction; the rest only makes the order the same every time."""
    return (LEVELS[one.trust], {"person": "0"}.get(one.trust, "1"), moment(one.at), one.ref, one.text, one.label, one.lang)
