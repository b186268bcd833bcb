"""Examples -> an older part to train on and a newer part to judge by, with no conversation and no text on both sides.

Knows nothing of models or labels. Comes after the harvest, before training. Random splits flatter a support model: the same
conversation and the same macro stand on both sides, and the future is learned from (Søgaard et al. 2021, "We Need to Talk
About Random Splits").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from assistant.errors import TrainingError
from finetune.harvested import moment
from finetune.wording import normalise


class Dated(Protocol):
    """What can be split: an example or a pair."""

    @property
    def ref(self) -> str:
        """The conversation it is from."""

    @property
    def text(self) -> str:
        """What must not stand on both sides."""

    @property
    def at(self) -> datetime | None:
        """When it was said."""


T = TypeVar("T", bound=Dated)


@dataclass(frozen=True, slots=True)
class TimeSplit(Generic[T]):
    """The two sides, each oldest first."""

    training: tuple[T, ...]
    holdout: tuple[T, ...]


def split_by_time(examples: Sequence[T], holdout_share: float = 0.15) -> TimeSplit[T]:
    """Hold out the newest conversations.

    Examples that share a conversation or a text (case, spaces, punctuation and placeholder numbers aside) stay together; such
    a cluster is as old as its oldest example, so that what was asked before is trained on and the holdout asks new things.

    Args:
        examples: Any order; those without a time count as oldest.
        holdout_share: The most that goes to the holdout, in (0, 1).

    Returns:
        Both sides. The holdout is filled from the newest cluster on; one that no longer fits is trained on instead, so the
        holdout can be smaller than asked for, and empty where everything hangs together.

    Raises:
        TrainingError: If the share is not between 0 and 1.
    """
    if not 0.0 < holdout_share < 1.0:
        raise TrainingError(f"holdout share {holdout_share!r} must lie between 0 and 1; 0.15 is usual")
    ordered = sorted(examples, key=lambda one: (moment(one.at), one.ref, one.text, repr(one)))
    clusters: dict[int, list[int]] = {}
    for row, root in enumerate(_connect(ordered)):
        clusters.setdefault(root, []).append(row)
    room = max(1, round(len(ordered) * holdout_share)) if len(ordered) > 1 else 0
    held: set[int] = set()
    # A cluster's root is its oldest row, so the highest root is the newest cluster.
    for root in sorted(clusters, reverse=True):
        if len(clusters[root]) <= room:
            room -= len(clusters[root])
            held.update(clusters[root])
    return TimeSplit(
        tuple(one for row, one in enumerate(ordered) if row not in held),
        tuple(one for row, one in enumerate(ordered) if row in held),
    )


def _connect(ordered: Sequence[Dated]) -> list[int]:
    """Return for each row the lowest row that it hangs together with (union-find over refs and texts)."""
    parent = list(range(len(ordered)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[str, int] = {}
    for row, one in enumerate(ordered):
        for key in (f"ref {one.ref}", f"text {normalise(one.text)}"):
            low, high = sorted((root(first.setdefault(key, row)), root(row)))
            parent[high] = low
    return [root(row) for row in range(len(ordered))]
