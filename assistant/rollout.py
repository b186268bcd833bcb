"""A candidate that answers a share of the conversations: who gets it, how both arms do, and when it has to go.

Pure: ids, outcomes and numbers in, arms and judgements out. Before: ``registry.offer`` names the candidate, replies name the
version that made them, ``learning.outcomes`` tells how they turned out. After: the registry takes a candidate out that did
worse. Knows no store, file or clock.

Conversations are counted, not messages, for those of one conversation are not independent. The test holds at every look, so
it may be asked after each reply: a time-uniform boundary for the difference of two means, the one-sided normal mixture in
closed form (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021, arXiv:1810.08240), as A/B tests that are watched all day
use it (Johari, Pekelis & Walsh 2015, arXiv:1512.04922). It takes rates for normal, which is an approximation from ``least``
conversations on (Waudby-Smith et al. 2021, arXiv:2103.06476). Each of the three rates has a third of the 5 %.

Simulated with looks every 10 of 1,000 conversations, three rates and the default bounds (tests/assistant/test_rollout.py):
an equal candidate is withdrawn in 0 to 3.3 % of rollouts, for shares of 0.1 to 0.5 and rates of 0.01 to 0.4; one that hands
over 15 points more (0.10 -> 0.25) is caught in all 3,000-conversation rollouts, half of them by 57 conversations of its own at
a share of 0.1, by 62 at 0.2 and by 127 at 0.5.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from assistant.errors import SettingsError

if TYPE_CHECKING:
    from assistant.judgements import Outcome

RATES = ("handoff", "abstention", "negative")
#: Reasons of a question back that say the assistant did not know; asking for an order number is none.
ABSTAINED = frozenset({"low_confidence", "low_evidence", "out_of_scope"})
ALPHA = 0.05
_Z95 = 1.959964
#: Information (1 / variance of the difference) at which the boundary is tightest: that of about 150 conversations in each
#: arm at a rate of 0.15. Any value is valid; a larger one finds small differences sooner and large ones later.
_TIGHTEST_AT = 600.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a candidate may do at worst: rises of its rates over the champion's, in shares of conversations.

    ``handoff``: handed over to a person; ``abstention``: asked back because it did not know; ``negative``: the customer was
    negative after a reply. Nothing is judged before both arms have ``least`` conversations.
    """

    handoff: float = 0.05
    abstention: float = 0.05
    negative: float = 0.05
    least: int = 50

    def __post_init__(self) -> None:
        """Refuse a bound that is no share; raises SettingsError with all of them."""
        faults = [
            f"{name} = {getattr(self, name)!r}: a bound is a share of conversations between 0 and 1"
            for name in RATES
            if not isinstance(getattr(self, name), (int, float)) or not 0 <= getattr(self, name) <= 1
        ]
        if not isinstance(self.least, int) or self.least < 1:
            faults.append(f"least = {self.least!r}: at least one conversation is needed in each arm")
        if faults:
            raise SettingsError(faults, "bounds of a rollout")


@dataclass(frozen=True, slots=True)
class Candidate:
    """The version of a task that answers ``share`` in (0, 1] of the conversations, since when, and within which bounds."""

    version: str
    share: float
    started_at: datetime
    bounds: Bounds = Bounds()

    def as_json(self) -> dict[str, Any]:
        """Return what the registry's pointer holds."""
        return {**asdict(self), "started_at": self.started_at.isoformat()}

    @staticmethod
    def from_json(values: Any) -> Candidate:
        """Read what ``as_json`` gave.

        Raises:
            KeyError, TypeError, ValueError, SettingsError: If it is something else.
        """
        share, started = float(values["share"]), datetime.fromisoformat(values["started_at"])
        version = values["version"]
        if not isinstance(version, str) or not 0 < share <= 1 or started.tzinfo is None:
            raise ValueError(f"version {version!r}, share {share}, started_at {started.isoformat()}")
        known = {item.name for item in fields(Bounds)}
        return Candidate(version, share, started, Bounds(**{k: v for k, v in values["bounds"].items() if k in known}))


@dataclass(frozen=True, slots=True)
class Rate:
    """In how many conversations of an arm something happened, with the 95 % interval of the share (Wilson 1927)."""

    name: str
    events: int
    conversations: int

    @property
    def share(self) -> float | None:
        """Return the share of conversations, None without any."""
        return self.events / self.conversations if self.conversations else None

    @property
    def low(self) -> float:
        """Return the lower end of the interval."""
        return self._ends(-1.0)

    @property
    def high(self) -> float:
        """Return the upper end of the interval."""
        return self._ends(1.0)

    def _ends(self, side: float) -> float:
        n = self.conversations
        if not n:
            return 0.0 if side < 0 else 1.0
        share, square = self.events / n, _Z95 * _Z95
        half = _Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
        return min(1.0, max(0.0, (share + square / (2 * n) + side * half) / (1 + square / n)))


@dataclass(frozen=True, slots=True)
class Arm:
    """How the conversations of one version went."""

    version: str
    conversations: int
    replies: int
    rates: tuple[Rate, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the figures for ``--json`` and the record of withdrawals."""
        rates = {
            rate.name: {
                "events": rate.events,
                "share": None if rate.share is None else round(rate.share, 4),
                "low": round(rate.low, 4),
                "high": round(rate.high, 4),
            }
            for rate in self.rates
        }
        return {"version": self.version, "conversations": self.conversations, "replies": self.replies, "rates": rates}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether the candidate has to go, why or why not, and the figures of both arms."""

    withdraw: bool
    reason: str
    candidate: Arm
    champion: Arm

    def as_json(self) -> dict[str, Any]:
        """Return the figures of both arms for a record."""
        return {"candidate": self.candidate.as_json(), "champion": self.champion.as_json()}


def arm(conversation_id: str, task: str, version: str, share: float) -> bool:
    """Say whether a conversation is answered by the candidate.

    The same conversation always gets the same answer, in every process; a larger share keeps those that had it. Another
    version or task draws anew, so that no customer is everybody's guinea pig.

    Args:
        conversation_id: Its id.
        task: The candidate's task.
        version: The candidate's version.
        share: Share of the conversations in [0, 1].

    Returns:
        True for that share of all ids, uniform by SHA-256.
    """
    digest = hashlib.sha256("\0".join((task, version, conversation_id)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def judge(outcomes: Iterable[Outcome], candidate: str, champion: str, bounds: Bounds) -> Judgement:
    """Compare both arms of a rollout.

    A conversation belongs to the version of its first reply by either; later replies of the other do not count against it.
    The customer's mood is read in messages after a reply of that arm. Where sentiment itself is on trial, each arm's mood is
    read by its own version: a rise then says that the versions differ.

    Args:
        outcomes: Replies since the rollout began, with the task's version, in order of time.
        candidate: The version on trial.
        champion: The version it is compared with.
        bounds: What it may do at worst.

    Returns:
        The judgement; ``withdraw`` if a rate exceeds the champion's by more than its bound and is worse beyond chance.
    """
    ours, theirs = _arms(outcomes, candidate, champion)
    if min(ours.conversations, theirs.conversations) < bounds.least:
        few = f"{ours.conversations} and {theirs.conversations} conversations; judged from {bounds.least} in each arm"
        return Judgement(False, few, ours, theirs)
    faults = [
        f"{mine.name} in {_percent(mine)} conversations, with {champion} in {_percent(other)}"
        for mine, other in zip(ours.rates, theirs.rates, strict=True)
        if exceeds(mine, other, float(getattr(bounds, mine.name)))
    ]
    return Judgement(bool(faults), "; ".join(faults) or "within bounds", ours, theirs)


def exceeds(candidate: Rate, champion: Rate, bound: float, alpha: float = ALPHA / len(RATES)) -> bool:
    """Say whether a rate is higher by more than a bound, and higher at all beyond chance.

    Args:
        candidate: The candidate's rate.
        champion: The champion's.
        bound: Rise that is allowed, in shares.
        alpha: Chance that this is ever true, at any of any number of looks, although the rates are equal.

    Returns:
        Whether it is worse.
    """
    ours, theirs = candidate.conversations, champion.conversations
    if not ours or not theirs:
        return False
    rise = candidate.events / ours - champion.events / theirs
    if rise <= bound:
        return False
    pooled = (candidate.events + champion.events + 1) / (ours + theirs + 2)  # never 0 or 1, where a variance would vanish
    information = 1 / (pooled * (1 - pooled) * (1 / ours + 1 / theirs))
    spread = information + _mixed(alpha)
    limit = math.sqrt(2 * spread * math.log1p(math.sqrt(spread / _mixed(alpha)) / (2 * alpha)))
    return rise * information > limit


def _mixed(alpha: float) -> float:
    """Return the mixture's parameter for which the boundary is tightest at ``_TIGHTEST_AT`` (Howard et al. 2021; approximate)."""
    logs = 2 * math.log(1 / (2 * alpha))
    return _TIGHTEST_AT / (logs + math.log1p(logs))


def _arms(outcomes: Iterable[Outcome], candidate: str, champion: str) -> tuple[Arm, Arm]:
    by_conversation: dict[str, list[Outcome]] = {}
    for one in outcomes:
        by_conversation.setdefault(one.conversation_id, []).append(one)
    talks: dict[str, list[Sequence[Outcome]]] = {candidate: [], champion: []}
    for replies in by_conversation.values():
        first = next((one.version for one in replies if one.version in talks), None)
        if first is not None:
            talks[first].append(replies)
    return _arm(candidate, talks[candidate]), _arm(champion, talks[champion])


def _arm(version: str, talks: Sequence[Sequence[Outcome]]) -> Arm:
    events = dict.fromkeys(RATES, 0)
    replies = 0
    for talk in talks:
        own = [one for one in talk if one.version == version]
        replies += len(own)
        events["handoff"] += any(one.action == "handoff" for one in own)
        events["abstention"] += any(one.action == "clarify" and one.reason in ABSTAINED for one in own)
        events["negative"] += any(before.version == version and after.sentiment == "negative" for before, after in pairwise(talk))
    return Arm(version, len(talks), replies, tuple(Rate(name, events[name], len(talks)) for name in RATES))


def _percent(rate: Rate) -> str:
    return f"{100 * (rate.share or 0.0):.1f} % of {rate.conversations}"
