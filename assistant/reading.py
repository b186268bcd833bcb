"""One message in its conversation: how it is read, what is looked for, and what a correction changes in the reading.

Runs the one forward pass over the message alone, behind the message before it, and in parts. The rules are in ``context.py``;
what is answered is decided after it, in ``pipeline.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistant import compose, context, history
from assistant.records import IntentGuess, Message, Turn
from assistant.redact import Memory
from assistant.same_question import question
from assistant.serving import Serving
from assistant.understand import OUT_OF_SCOPE

HISTORY = 4  # turns looked back at


@dataclass(frozen=True, slots=True)
class Asked:
    """What one turn stands on: the versions that answer, the message and the conversation before it."""

    serving: Serving
    message: Message
    turns: Sequence[Turn]
    memory: Memory


def read(asked: Asked, text: str, before: str | None) -> context.Reading:
    """Understand a message alone, behind the one before it, and in parts: all in one forward pass.

    Args:
        asked: What the turn stands on.
        text: The message as models read it.
        before: The conversation's language so far.

    Returns:
        The reading.
    """
    turns = asked.turns
    earlier = history.topic(turns)
    behind = history.question(turns)[-300:]
    joined = f"{behind} {text}" if behind and context.is_short(text) else None
    pieces = context.parts(text)
    texts = [text, *([joined] if joined else []), *pieces]
    last = turns[-1].reply if turns else None
    awaited = last is not None and last.reason == "missing_slot"
    missing = _missing(asked) if awaited else ""
    read_all = asked.serving.understander.read
    readings = read_all(texts, before, missing) if missing else read_all(texts, before)
    place = context.chosen(text) if last is not None and last.reason == "two_readings" else None
    if last is not None and place is not None:
        readable = compose.offered(last.understanding, asked.serving.templates, readings[0].language)
        if place < len(readable):
            return context.picked(readings[0], readable[place].name)
    return context.read_in_context(
        text,
        readings[0],
        readings[1] if joined else None,
        readings[2:] if joined else readings[1:],
        earlier,
        sure=asked.serving.thresholds.min_confidence,
        awaited=awaited,
    )


def _missing(asked: Asked) -> str:
    """Return the names of the slots that the last reply asked for."""
    last = asked.turns[-1].reply
    top = last.understanding.intents[0].name if last.understanding.intents else ""
    template = asked.serving.templates.find(top, last.understanding.language)
    known = history.known_slots(asked.turns)
    return " ".join(slot for slot in (template.required_slots if template else ()) if not known.get(slot))


def query(asked: Asked, reading: context.Reading, text: str) -> str:
    """Return what to look for: a message that needs the one before it is no question by itself."""
    if reading.kind in ("question", "social"):
        return text
    earlier = history.question(asked.turns) or text
    if reading.kind == "follow_up":
        return f"{earlier} {text}"
    if reading.kind == "choice":
        return f"{earlier} {asked.serving.templates.title(reading.main.intents[0].name, reading.main.language)}"
    return earlier


def leans_on(turns: Sequence[Turn]) -> str:
    """Return what a message that cannot stand alone leans on: the topic so far, else the last question; empty at the start.

    Args:
        turns: The turns before the message, oldest first.

    Returns:
        An intent's name, or the question's key.
    """
    before = turns[-HISTORY:]
    return history.topic(before) or question(history.question(before)).key


def topic(reading: context.Reading) -> IntentGuess | None:
    """Return the likeliest intent, or ``None`` where no intent adapter is loaded."""
    return reading.main.intents[0] if reading.main.intents else None


def with_intent(reading: context.Reading, intent: str | None) -> context.Reading:
    """Return the reading of a message whose intent a person named.

    Args:
        reading: As the models read it.
        intent: What the customer really wants; ``oos`` if that is none of the company's business.

    Returns:
        The reading with that intent first and alone; unchanged where none is named.
    """
    if intent is None:
        return reading
    if intent == OUT_OF_SCOPE:
        return replace(reading, main=replace(reading.main, out_of_scope=1.0), others=())
    main = context.picked(reading.main, intent).main
    return replace(reading, main=main, others=(), kind="question" if reading.kind == "social" else reading.kind)
