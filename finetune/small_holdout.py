"""What protects a company whose holdout is small: how champion and candidate read the night's own messages.

The champion never saw them, and its confidence is calibrated, so of those it reads as one label about as many are right as its
confidence adds up to. A candidate that reads far fewer of them so has learned better, or was taught wrongly. Many holdout rows of
the label tell which; where they are few, the gate asks for more of them, or for a person who promotes. Pure numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from finetune.gate import Bounds, Check, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A fault that shows on no row of the holdout with this chance counts as one that it cannot show.
_CHANCE = 0.025
_SAMPLES = 20_000


@dataclass(frozen=True, slots=True)
class Readings:
    """Messages of one night as both versions read them.

    Attributes:
        labels: What the champion reads, per message.
        sure: Its calibrated confidence ``(n,)`` in [0, 1].
        kept: Whether the candidate reads the same ``(n,)``.
    """

    labels: tuple[str, ...]
    sure: NDArray[np.float32]
    kept: NDArray[np.bool_]


def unseen_share(rows: int) -> float:
    """Return the largest share of messages on which a version may fail without failing on any of so many rows.

    With a chance of 2.5 %; close to 3.7 divided by the rows (the rule of three; Hanley & Lippman-Hand 1983).
    """
    return 1.0 - float(_CHANCE ** (1 / rows)) if rows > 0 else 1.0


def rows_to_show(share: float) -> int:
    """Return how many rows hardly ever miss a fault that concerns this share of the messages, in (0, 1)."""
    return math.ceil(math.log(_CHANCE) / math.log1p(-min(max(share, 0.01), 0.99)))


def check_readings(readings: Readings | None, holdout: Sequence[str], bounds: Bounds, seed: int) -> Check:
    """Refuse a candidate that reads a label's messages as something else, where the holdout cannot show that it is right.

    Args:
        readings: The night's messages; ``None`` or empty where there are none, or no champion.
        holdout: The label of every holdout row.
        bounds: ``kept`` and ``floor_drop``.
        seed: Of the draw by which luck is told from loss.

    Returns:
        The check, with the labels that changed their meaning.
    """
    enough = rows_to_show(bounds.floor_drop)
    bound = f">= {bounds.kept:.0%} of the champion's readings kept, for labels of under {enough} holdout rows"
    if readings is None or not readings.labels:
        return Check("night's readings", True, None, None, bound, "no new messages to compare on")
    counts, names = Counter(holdout), np.asarray(readings.labels)
    few = [str(label) for label in np.unique(names) if counts[str(label)] < enough]
    random, lost = np.random.default_rng(seed), []
    for label in few:
        rows = np.flatnonzero(names == label)
        sure, kept = readings.sure[rows], int(readings.kept[rows].sum())
        if kept >= bounds.kept * float(sure.sum()):
            continue
        luck = ((random.random((_SAMPLES, len(rows))) < sure).sum(axis=1) <= kept).mean()
        if luck <= _CHANCE / len(few):  # with many labels one of them always looks odd
            lost.append(f"{label}: {kept} of {len(rows)} kept, {sure.sum():.0f} expected, {counts[label]} holdout rows")
    detail = f"{len(few)} labels compared on {len(names)} messages"
    if lost:
        detail = f"{listed(lost)}; label holdout rows to show who is right, or promote by hand"
    return Check("night's readings", not lost, None, float(readings.kept.mean()), bound, detail)
