"""Drafts -> one verdict: send, clarify or hand off, each with a machine's reason and one a customer can read.

Checks that there is enough evidence, that every number and link of a reply stands in the evidence or the conversation,
that no placeholder of another customer is left, and that confidence passes the thresholds chosen on validation data.
Knows nothing of how drafts were made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assistant.phrases import say
from assistant.records import Draft, Understanding, Verdict

_LINK = re.compile(
    r"(?:https?://|\bwww\.)[^\s)\]>\"'\u2018-\u201f\u3000-\u9fff\uff00-\uffef]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.I | re.ASCII
)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_PLACEHOLDER = re.compile(r"\[[A-Z]+_\d+\]|\{\{?[A-Za-z_][A-Za-z0-9_ ]*\}?\}|\[(?:[A-Z][a-z]+)(?: [A-Z][a-z]+)*\](?!\()")

_LIKELY_PAIR = 0.4  # two readings that are wrong together more often than this are no help to choose from


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which figures on a draft may be sent."""

    min_confidence: float
    max_out_of_scope: float
    min_evidence: float
    choice_margin: float

    def as_dict(self) -> dict[str, float]:
        """Return the thresholds as they are stored with each reply."""
        return {
            "min_confidence": self.min_confidence,
            "max_out_of_scope": self.max_out_of_scope,
            "min_evidence": self.min_evidence,
            "choice_margin": self.choice_margin,
        }


def ungrounded(reply: str, grounds: Sequence[str]) -> list[str]:
    """List the links and numbers of a reply that stand in none of the texts it is based on.

    Args:
        reply: The draft's text.
        grounds: Evidence, the conversation and its slot values.

    Returns:
        The unsupported links and numbers, in order; empty if all are supported.
    """
    joined = "\n".join(grounds)
    links = {link.rstrip(".,;:!?") for link in _LINK.findall(joined)}
    numbers = set(_NUMBER.findall(_LINK.sub(" ", joined)))
    missing = [link.rstrip(".,;:!?") for link in _LINK.findall(reply) if link.rstrip(".,;:!?") not in links]
    return missing + [number for number in _NUMBER.findall(_LINK.sub(" ", reply)) if number not in numbers]


def decide(
    drafts: Sequence[Draft],
    choice: Draft | None,
    understanding: Understanding,
    grounds: Sequence[str],
    thresholds: Thresholds,
    *,
    lang: str,
    company: str,
    hours: str,
    clarified: int,
    wants_person: bool,
    follow_up: bool,
) -> tuple[Verdict, Draft | None]:
    """Choose what is said.

    Args:
        drafts: What could be said, best first.
        choice: The two readings to offer, if there are two.
        understanding: The message in its context.
        grounds: The conversation's texts and slot values.
        thresholds: When to send.
        lang: Language of the reply.
        company: Who is speaking.
        hours: When people are there; may be empty.
        clarified: How many of the last replies in a row were questions back.
        wants_person: Whether the message asks for a person.
        follow_up: Whether the message continues an answered one, which halves the confidence asked for.

    Returns:
        The verdict and the draft it stands on, if any.
    """
    when = say("hours", lang, hours=hours) if hours else ""
    top = understanding.intents[0] if understanding.intents else None
    checks: dict[str, float | bool | str] = {
        "confidence": round(drafts[0].confidence if drafts else 0.0, 4),
        "out_of_scope": round(understanding.out_of_scope, 4),
        "evidence": round(drafts[0].evidence[0].score if drafts and drafts[0].evidence else 0.0, 4),
    }
    if drafts and drafts[0].origin == "social":
        return Verdict("send", "social", drafts[0].text, checks), drafts[0]
    if wants_person:
        return Verdict("handoff", "asked_for_person", say("handoff_asked", lang, hours=when), checks), None
    if understanding.out_of_scope > thresholds.max_out_of_scope:
        return Verdict("clarify", "out_of_scope", say("out_of_scope", lang, company=company), checks), None
    needed = thresholds.min_confidence * (0.5 if follow_up else 1.0)
    if top is None:
        needed = thresholds.min_evidence
    if not drafts or drafts[0].confidence < needed:
        if clarified:
            return Verdict("handoff", "unsure_twice", say("handoff_unsure", lang, hours=when), checks), None
        if top is None:
            return Verdict("clarify", "low_evidence", say("out_of_scope_plain", lang, company=company), checks), None
        if choice is not None and _close(understanding, thresholds.choice_margin):
            return Verdict("clarify", "two_readings", choice.text, checks), choice
        return Verdict("clarify", "low_confidence", say("unsure", lang), checks), None
    for draft in drafts:
        texts = [*grounds, *(hit.passage.text for hit in draft.evidence), *(hit.passage.ask for hit in draft.evidence)]
        missing = ungrounded(draft.text, texts)
        left = _PLACEHOLDER.findall(draft.text)
        if missing or left or not draft.evidence:
            checks["refused"] = ", ".join([*missing, *left])[:200] or "no evidence"
            continue
        checks |= {"confidence": round(draft.confidence, 4), "evidence": round(draft.evidence[0].score, 4), "grounded": True}
        if draft.origin == "ask":
            return Verdict("clarify", "missing_slot", draft.text, checks), draft
        return Verdict("send", draft.origin, draft.text, checks), draft
    return Verdict("handoff", "ungrounded", say("handoff_no_evidence", lang, hours=when), checks), None


def _close(understanding: Understanding, margin: float) -> bool:
    """Say whether the two best readings are likely enough, and near enough to each other, that offering both helps."""
    if len(understanding.intents) < 2:
        return False
    first, second = understanding.intents[:2]
    if first.confidence + second.confidence < _LIKELY_PAIR:
        return False
    return first.confidence - second.confidence <= margin or second.confidence >= 0.5 * first.confidence
