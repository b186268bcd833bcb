"""Conversations, corrections and decisions -> texts with the label that people gave them, and texts without one.

Knows no champion and no evidence. First step of the harvest; what it gives is doubted and settled in ``contradictions.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from assistant.records import Language, Transcript, TranscriptTurn
from finetune.harvested import Conversation, Corrected, Decided, Example
from finetune.wording import Macro, is_small_talk, says_nothing, template_intent, weigh

_LEAST_WORDS = 2.0
_RESOLVED_RATING = 4


@dataclass(frozen=True, slots=True)
class Opening:
    """An example whose label and trust are still open; ``counts`` says whether a person's reply resolved it."""

    example: Example
    counts: bool


def is_resolved(transcript: Transcript) -> bool:
    """Say whether a conversation may be learned from: marked resolved, or unmarked and rated 4 or 5.

    A log that says nothing about resolution is full of threads that ended in silence; a good rating speaks for the answer.
    """
    if transcript.resolved is None:
        return transcript.rating is not None and transcript.rating >= _RESOLVED_RATING
    return transcript.resolved


def cleaned(conversation: Conversation, redact: Callable[[str], str], detect: Callable[[str], Language] | None) -> Conversation:
    """Redact every turn once more, and name the language where the log did not."""
    old = conversation.transcript
    turns = tuple(TranscriptTurn(turn.role, redact(turn.text), turn.at) for turn in old.turns)
    lang = old.lang
    if lang is None and detect is not None:
        lang = detect("\n".join(turn.text for turn in turns if turn.role == "customer"))
    return replace(conversation, transcript=replace(old, turns=turns, lang=lang))


def from_people(
    corrections: Sequence[Corrected],
    labelled: Sequence[Decided],
    canon: Mapping[str, str],
    macros: tuple[Macro, ...],
    redact: Callable[[str], str],
    dropped: Counter[str],
) -> tuple[list[Example], list[Opening]]:
    """Return the texts people labelled, and the corrected questions that still need a label."""
    explicit: list[Example] = []
    unsure: list[Opening] = []
    for one in corrections:
        text = redact(one.question).strip()
        # The answer wished for may be one of the company's templates: that names the intent as well as a word does.
        label = _label(one.intent, canon) or _label(template_intent(redact(one.answer), macros), canon)
        example = Example(text, label or "", one.ref, one.lang, one.at, "correction")
        if says_nothing(text):
            dropped["only_placeholders"] += 1
        elif label:
            explicit.append(example)
        else:
            unsure.append(Opening(example, counts=False))
    for row in labelled:
        text, label = redact(row.text).strip(), _label(row.label, canon)
        if says_nothing(text) or not label:
            dropped["only_placeholders" if says_nothing(text) else "no_label"] += 1
        else:
            explicit.append(Example(text, label, row.ref, row.lang, row.at, "person"))
    return explicit, unsure


def from_conversations(
    read: Sequence[Conversation], canon: Mapping[str, str], macros: tuple[Macro, ...], dropped: Counter[str]
) -> tuple[list[Example], list[Opening]]:
    """Return the openings that agents labelled by what they did, and those that still need a label."""
    actions: list[Example] = []
    unsure: list[Opening] = []
    for one in read:
        opening = _opening(one, dropped)
        if opening is not None:
            labels = _acted(one.transcript, canon, macros) if opening.counts else []
            actions += [replace(opening.example, label=label, trust="action") for label in labels]
            unsure += [] if labels else [opening]
    return actions, unsure


def _opening(conversation: Conversation, dropped: Counter[str]) -> Opening | None:
    """Return the first thing the customer says that is no courtesy, if it is worth a label."""
    transcript = conversation.transcript
    said = [turn for turn in transcript.turns if turn.role == "customer" and turn.text.strip()]
    turn = next((turn for turn in said if not is_small_talk(turn.text)), None)
    if turn is None:
        dropped["small_talk" if said else "no_customer"] += 1
        return None
    if says_nothing(turn.text) or weigh(turn.text) < _LEAST_WORDS:
        dropped["only_placeholders" if says_nothing(turn.text) else "too_short"] += 1
        return None
    person = any(one.role == "agent" and one.text.strip() for one in transcript.turns)
    at = turn.at or transcript.started_at
    example = Example(turn.text.strip(), "", conversation.ref, transcript.lang or "und", at, "agreement")
    return Opening(example, counts=person and is_resolved(transcript))


def _acted(transcript: Transcript, canon: Mapping[str, str], macros: tuple[Macro, ...]) -> list[str]:
    """Return what the agents' actions say it is about; two labels where tag and templates speak of different things."""
    tag = _label(transcript.intent, canon)
    sent = [template_intent(turn.text, macros) for turn in transcript.turns if turn.role == "agent"]
    found = [_label(intent, canon) for intent in sent if intent]
    if tag and found and tag not in found:
        return [label for label in (tag, found[0]) if label]
    return [label for label in (tag or next(iter(found), None),) if label]


def _label(name: str | None, canon: Mapping[str, str]) -> str | None:
    """Return the known label a name means, else the name itself; ``None`` where it is blank."""
    return canon.get(_bare(name), name.strip()) if name and name.strip() else None


def known_as(known: Collection[str]) -> dict[str, str]:
    """Return the champion's labels by the name that all their spellings share ("Order Status" is ``order_status``)."""
    return {_bare(label): label for label in sorted(known)}


def _bare(name: str) -> str:
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())
