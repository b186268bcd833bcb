"""What people left behind, and what a harvest makes of it: frozen values, nothing else.

Knows no store, no model and no rule. ``harvest.py`` fills these; ``time_split.py`` and the nightly retraining read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from assistant.records import Language, Transcript

#: Where a label came from: a correction, a decision in the review queue, what an agent did, or champion and evidence agreeing.
Trust = Literal["correction", "person", "action", "agreement"]
#: Lower is trusted more. Corrections and decisions are both a person's word on this very text.
LEVELS: Mapping[Trust, int] = {"correction": 0, "person": 0, "action": 1, "agreement": 2}
QueueReason = Literal["unsure", "suspicious", "contradiction", "new_label"]
SetAsideReason = Literal["contradiction", "outranked", "suspicious", "new_label"]


class Corrected(Protocol):
    """A correction as the store gives it: the customer's question and the answer a person would have wished for."""

    @property
    def ref(self) -> str:
        """Where it stands; the conversation's ref where both shall stay on one side of a split."""

    @property
    def question(self) -> str:
        """What the customer wrote."""

    @property
    def answer(self) -> str:
        """What should have been answered; may be empty."""

    @property
    def intent(self) -> str | None:
        """The right intent, if the person named it."""

    @property
    def lang(self) -> Language:
        """ISO 639-1 or ``und``."""

    @property
    def at(self) -> datetime | None:
        """When it was made."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A past conversation with its place in the store, ``transcript:SOURCE/ID``."""

    ref: str
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Decided:
    """A row of the review queue that a person gave a label; without ``at`` it counts as made after every correction."""

    text: str
    label: str
    ref: str
    lang: Language = "und"
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A customer's text with its label, and who vouches for it."""

    text: str
    label: str
    ref: str
    lang: Language
    at: datetime | None
    trust: Trust


@dataclass(frozen=True, slots=True)
class Pair:
    """The turns before a person's reply, oldest first as ``(role, text)``, and that reply."""

    context: tuple[tuple[str, str], ...]
    reply: str
    ref: str
    at: datetime | None
    lang: Language

    @property
    def text(self) -> str:
        """Context and reply as one text; two pairs with the same are duplicates."""
        return "\n".join((*(text for _, text in self.context), self.reply))


@dataclass(frozen=True, slots=True)
class Queued:
    """A text a person should label.

    ``label`` is what is proposed (``None`` without a champion) and ``confidence`` the champion's probability of it. ``given``
    are the labels that people gave it and that are not believed yet. ``uncertainty`` in [0, 1] orders the queue.
    """

    text: str
    label: str | None
    confidence: float
    uncertainty: float
    ref: str
    lang: Language
    at: datetime | None
    reason: QueueReason
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetAside:
    """An example that is not learned from, with a sentence that says why."""

    example: Example
    reason: SetAsideReason
    because: str


@dataclass(frozen=True, slots=True)
class Rules:
    """How strict a harvest is.

    ``min_confidence``: champion's probability from which its agreement with the evidence makes a label. ``suspicion``:
    probability from which it may doubt an agent's label. ``least``: examples a new label needs. ``flood_share`` and
    ``flood_times``: the most one label may give, as a share of all and in medians. ``near``: cosine from which two texts
    count as the same. ``most_queued``: length of the queue. ``pairs_each``: pairs from one conversation. ``same_reply``: how
    often one reply may stand behind different questions. ``context_turns``: turns before a reply.
    """

    min_confidence: float = 0.9
    suspicion: float = 0.95
    least: int = 8
    flood_share: float = 0.3
    flood_times: float = 5.0
    near: float = 0.97
    most_queued: int = 200
    pairs_each: int = 6
    same_reply: int = 5
    context_turns: int = 4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Harvest:
    """All that one harvest gave; ``sha256`` is that of texts and labels, as ``finetune.examples.digest`` counts it.

    ``counts`` holds what was read (``read.*``), the examples by trust (``trust.*``), what was dropped and why (``dropped.*``),
    set aside (``set_aside.*``), queued (``queued.*``), and how many of the agents' labels the champion could check
    (``checked``) and contradicted with whatever confidence (``contradicted``).
    """

    examples: tuple[Example, ...]
    pairs: tuple[Pair, ...]
    queue: tuple[Queued, ...]
    set_aside: tuple[SetAside, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    sha256: str = ""


def moment(at: datetime | None) -> float:
    """Return seconds since 1970 for ordering; a time without zone counts as UTC, no time at all as before all others."""
    if at is None:
        return float("-inf")
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
