"""Two decisions of the same message -> what differs: kinds of change, flows between intents, the most notable messages.

Pure; knows replies, not how they came about. ``replaying.py`` decides the messages and prints what comes out here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from assistant.records import Reply

#: In order of weight; a message is of the first kind that fits.
KINDS = ("newly_handed_over", "newly_answered", "no_longer_answered", "other_intent", "other_answer", "same")
Kind = Literal["newly_handed_over", "newly_answered", "no_longer_answered", "other_intent", "other_answer", "same"]
NOTABLE = 20


@dataclass(frozen=True, slots=True)
class Decision:
    """What one version made of a message; ``intent`` is empty where none was understood."""

    intent: str
    confidence: float
    action: str
    reason: str
    reply: str

    @property
    def line(self) -> str:
        """Return the decision in one line."""
        return f"{self.intent or 'no intent'} {self.confidence:.2f}, {self.action} ({self.reason}): {self.reply[:160]}"


@dataclass(frozen=True, slots=True)
class Change:
    """A message with both decisions."""

    message_id: str
    text: str
    at: datetime
    kind: Kind
    champion: Decision
    candidate: Decision

    @property
    def weight(self) -> float:
        """Return how notable it is: other actions first, then the surer both were of what they disagree on."""
        acts = self.kind in ("newly_handed_over", "newly_answered", "no_longer_answered")
        differs = self.champion.intent != self.candidate.intent
        return 2.0 * acts + differs * (self.champion.confidence + self.candidate.confidence) / 2

    def as_json(self, champion: str = "champion", candidate: str = "candidate") -> dict[str, Any]:
        """Return the message for ``--json``, its decisions under these names."""
        both = {champion: asdict(self.champion), candidate: asdict(self.candidate)}
        return {"message_id": self.message_id, "at": self.at.isoformat(), "text": self.text, "change": self.kind, **both}


def compare(message_id: str, text: str, at: datetime, champion: Reply, candidate: Reply) -> Change:
    """Say how two decisions of one message differ.

    Args:
        message_id: The message's id.
        text: What is shown of it, redacted.
        at: When it was asked.
        champion: One decision.
        candidate: The other.

    Returns:
        The change; ``same`` if intent, action and answer are.
    """
    ours, theirs = _decision(champion), _decision(candidate)
    return Change(message_id, text, at, _kind(ours, theirs), ours, theirs)


def summary(changes: Sequence[Change]) -> dict[str, Any]:
    """Count what would change.

    Args:
        changes: All messages, changed or not.

    Returns:
        ``messages``, ``counts`` by kind, ``flows`` between intents (largest first) and ``changed``, the most notable, for JSON.
    """
    counts = Counter(one.kind for one in changes)
    flows = Counter((one.champion.intent, one.candidate.intent) for one in changes if one.champion.intent != one.candidate.intent)
    ordered = sorted(flows.items(), key=lambda item: (-item[1], item[0]))
    return {
        "messages": len(changes),
        "counts": {kind: counts[kind] for kind in KINDS},  # type: ignore[index]
        "flows": [{"champion": before, "candidate": after, "messages": n} for (before, after), n in ordered],
        "changed": [one.as_json() for one in notable(changes)],
    }


def notable(changes: Sequence[Change], most: int = NOTABLE) -> list[Change]:
    """Return the changed messages that a person should look at first."""
    changed = [one for one in changes if one.kind != "same"]
    return sorted(changed, key=lambda one: (-one.weight, KINDS.index(one.kind), one.message_id))[:most]


def _decision(reply: Reply) -> Decision:
    top = reply.understanding.intents[0] if reply.understanding.intents else None
    confidence = round(top.confidence, 4) if top else 0.0
    return Decision(top.name if top else "", confidence, reply.action, reply.reason, reply.text)


def _kind(ours: Decision, theirs: Decision) -> Kind:
    if ours.action != theirs.action:
        if theirs.action == "handoff":
            return "newly_handed_over"
        if theirs.action == "send":
            return "newly_answered"
        if ours.action == "send":
            return "no_longer_answered"
    if ours.intent != theirs.intent:
        return "other_intent"
    if (ours.action, ours.reason, ours.reply) != (theirs.action, theirs.reason, theirs.reply):
        return "other_answer"
    return "same"
