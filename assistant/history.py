"""What a conversation's earlier turns tell: its topic, what was said already, which values are known.

Pure functions over stored turns, so that a conversation goes on after a restart as if nothing had happened. Knows nothing
of the message that is being answered; ``context.py`` reads that one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.context import acknowledges, only_slots
from assistant.records import Turn
from assistant.redact import SLOT_NAMES, Memory
from assistant.understand import SOCIAL

_UNREAD = ("out_of_scope", "empty", "low_confidence", "low_evidence", "failure")
_UNSURE = ("low_confidence", "low_evidence", "two_readings")


def topic(turns: Sequence[Turn]) -> str | None:
    """Return the intent the conversation is about: the last one that was not small talk."""
    for turn in reversed(turns):
        intents = turn.reply.understanding.intents
        if turn.reply.reason in _UNREAD:
            continue
        if intents and intents[0].name not in SOCIAL:
            return intents[0].name
    return None


def question(turns: Sequence[Turn]) -> str:
    """Return the customer's last message that says something: no bare order number, "ok" or thanks; empty without one."""
    for turn in reversed(turns):
        text = turn.message.text
        if turn.reply.origin not in ("social", "empty") and not only_slots(text) and not acknowledges(text):
            return text
    return ""


def told(turns: Sequence[Turn]) -> list[str]:
    """List the intents that were answered already."""
    return [t.reply.understanding.intents[0].name for t in turns if t.reply.action == "send" and t.reply.understanding.intents]


def known_slots(turns: Sequence[Turn]) -> dict[str, str]:
    """Return the values known so far, the latest of each slot."""
    known: dict[str, str] = {}
    for turn in turns:
        known.update({name: value for name, value in turn.reply.slots.items() if value})
    return known


def clarified(turns: Sequence[Turn]) -> int:
    """Count the questions back at the end of the conversation so far."""
    count = 0
    for turn in reversed(turns):
        if turn.reply.reason not in _UNSURE:
            break
        count += 1
    return count


def remember(turns: Sequence[Turn], memory: Memory) -> Memory:
    """Bring a fresh redaction memory to where the conversation's stored turns left it.

    Order and tracking numbers get the placeholders back that they have in the stored texts; of several new numbers in one
    message only the last is stored with its value. Other placeholders are kept from being given to other values.

    Args:
        turns: All turns, oldest first.
        memory: An empty memory, which is extended.

    Returns:
        The same memory.
    """
    for turn in turns:
        for kind, slot in SLOT_NAMES.items():
            value = turn.message.slots.get(slot)
            numbers = [int(number) for number in re.findall(rf"\[{kind}_(\d{{1,3}})\]", turn.message.text)]
            if value and numbers:
                memory.reserve(f"[{kind}_{numbers[-1] - 1}]")
                memory.placeholder(kind, value)
        memory.reserve(turn.message.text)
    return memory
