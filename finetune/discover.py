"""Customers' openings without labels -> proposed intents, each with a name, examples and its members.

Customers' messages are grouped by what they ask (``discover_clusters``), groups are named by their words (``discover_names``).
Does not know where the texts came from or whether they were redacted; ``discover_files`` writes what a person then edits, and
``deskhand adapters train`` learns from that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import TrainingError
from finetune.discover_clusters import Clustering, cluster
from finetune.discover_names import name_clusters

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Fewer different openings than this show no intents.
LEAST_OPENINGS = 50
LEAST_MEMBERS = 5
FIT_ROWS = 5_000
_CENTRAL, _EDGE = 3, 2
#: Words of the most central members name an intent; those at its edge may belong elsewhere.
_NAMED_BY = 200


@dataclass(frozen=True, slots=True)
class Member:
    """A different text of an intent: ``row`` of its first occurrence, and how sure its place is, in [0, 1]."""

    row: int
    confidence: float


@dataclass(frozen=True, slots=True)
class ProposedIntent:
    """A group of openings that ask the same.

    ``name`` is snake_case and unique in its proposal; ``words`` set the intent apart, strongest first. ``size`` counts openings,
    repeated ones too; ``members`` are the different texts, most central first. ``examples`` are the most central, ``edge`` the
    least. ``coherence`` is the mean cosine of members with their centre, in [-1, 1].
    """

    name: str
    words: tuple[str, ...]
    size: int
    examples: tuple[str, ...]
    edge: tuple[str, ...]
    members: tuple[Member, ...]
    coherence: float


@dataclass(frozen=True, slots=True)
class Outsider:
    """An opening that belongs to no proposed intent; ``nearest`` names the closest one."""

    row: int
    nearest: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Intents, largest first, of ``n`` openings, and the different texts of none; ``none_share`` is their share of openings."""

    intents: tuple[ProposedIntent, ...]
    outsiders: tuple[Outsider, ...]
    none_share: float
    n: int


def propose(
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    *,
    least: int = LEAST_MEMBERS,
    seed: int = 0,
    intents: int | None = None,
    fit_rows: int = FIT_ROWS,
) -> Proposal:
    """Propose intents for openings.

    Args:
        texts: ``n`` openings; empty ones belong to no intent, repeated ones (case and spaces aside) count once in the grouping.
        vectors: Their unit vectors ``(n, d)`` float32.
        least: An intent has at least so many different texts; smaller groups belong to none.
        seed: Of the sample and the reduction of words; the same input and seed give the same proposal.
        intents: The number of groups; found from the data when ``None``.
        fit_rows: Groups are found among at most so many texts, the rest joins them. more costs memory
            with its square and gained nothing.

    Returns:
        The proposal.

    Raises:
        TrainingError: If there are fewer than 50 different openings, or ``least``, ``intents`` or ``vectors`` do not fit.
    """
    if len(texts) != len(vectors):
        raise TrainingError(f"{len(texts)} openings came with {len(vectors)} vectors; encode each opening once")
    first, copies = distinct(texts)
    if len(first) < LEAST_OPENINGS:
        raise TrainingError(
            f"{len(first)} different openings are too few to show intents, at least {LEAST_OPENINGS} are needed; "
            "ingest more conversations, or name a file of messages with --data"
        )
    if least < 2:
        raise TrainingError(f"least = {least}: an intent needs at least 2 texts to be trained")
    if intents is not None and not 2 <= intents <= len(first):
        raise TrainingError(f"intents = {intents}: choose between 2 and the {len(first)} different openings")
    kept = [texts[row] for row in first]
    found = cluster(
        kept, np.ascontiguousarray(vectors[first]), seed=seed, fit_rows=max(fit_rows, LEAST_OPENINGS), clusters=intents
    )
    return _proposal(kept, first, copies, found, least, len(texts))


def distinct(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the different texts, case and spaces aside.

    Args:
        texts: Any texts; empty ones are left out.

    Returns:
        Rows of the first occurrences, in order, and how often each occurs.
    """
    counts: dict[str, int] = {}
    rows: dict[str, int] = {}
    for row, text in enumerate(texts):
        folded = " ".join(text.casefold().split())
        if folded:
            rows.setdefault(folded, row)
            counts[folded] = counts.get(folded, 0) + 1
    return np.array(list(rows.values()), dtype=np.int64), np.array(list(counts.values()), dtype=np.int64)


def _proposal(
    texts: Sequence[str], first: NDArray[np.int64], copies: NDArray[np.int64], found: Clustering, least: int, n: int
) -> Proposal:
    every = np.arange(len(texts))
    groups = [every[(found.labels == label) & ~found.outlying] for label in range(int(found.labels.max()) + 1)]
    groups = [group[np.argsort(-found.centrality[group], kind="stable")] for group in groups]
    large = [label for label, group in enumerate(groups) if len(group) >= least]
    large.sort(key=lambda label: (-int(copies[groups[label]].sum()), label))
    namings = name_clusters([[texts[row] for row in groups[label][:_NAMED_BY]] for label in large])
    intents = []
    outside = np.ones(len(texts), dtype=bool)
    for label, naming in zip(large, namings, strict=True):
        group = groups[label]
        outside[group] = False
        edge = group[_CENTRAL:][-_EDGE:]
        intents.append(
            ProposedIntent(
                name=naming.name,
                words=naming.words,
                size=int(copies[group].sum()),
                examples=tuple(texts[row] for row in group[:_CENTRAL]),
                edge=tuple(texts[row] for row in edge),
                members=tuple(Member(int(first[row]), round(float(found.confidence[row]), 3)) for row in group),
                coherence=round(float(found.centrality[group].mean()), 4),
            )
        )
    names = {label: naming.name for label, naming in zip(large, namings, strict=True)}
    outsiders = tuple(Outsider(int(first[row]), names.get(int(found.labels[row]), "")) for row in every[outside])
    inside = sum(intent.size for intent in intents)
    return Proposal(tuple(intents), outsiders, 1 - inside / n, n)
