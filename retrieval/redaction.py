"""Conversations as logs give them -> conversations that may be stored: no personal data in texts, ids or contacts.

Comes between the readers and the store. What personal data looks like is known to ``assistant.redact``; articles and
templates never pass here, because they are the company's own public text, whose help address and number must stay.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

from assistant.records import Transcript, TranscriptTurn
from assistant.redact import Memory, Redactor

_OPAQUE = re.compile(r"[\w.:-]{1,64}")
_SAMPLE_CHARS = 2_000


def pseudonym(contact: str, redactor: Redactor, salt: str) -> str:
    """Return the form of a contact, or of a conversation's id, that may be stored.

    Args:
        contact: As the log says it: a customer number, an e-mail address, a phone number, a name.
        redactor: Finds personal data.
        salt: A secret of this installation.

    Returns:
        The same text where it is one word without personal data, such as ``c0843``; else ``person-`` with a keyed hash,
        the same for the same person, so that ``Store.forget_contact(pseudonym(...))`` finds everything of theirs.
    """
    if _OPAQUE.fullmatch(contact) and redactor.redact(contact, Memory(salt)).text == contact:
        return contact
    key = hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    folded = contact.strip().casefold().encode("utf-8", "surrogatepass")
    return f"person-{hashlib.blake2b(folded, key=key, digest_size=12).hexdigest()}"


def redacted(transcript: Transcript, redactor: Redactor, salt: str, identify: Callable[[str], str]) -> Transcript:
    """Return a conversation with placeholders for personal data, numbered through the whole conversation.

    Args:
        transcript: As read.
        redactor: Finds personal data.
        salt: A secret of this installation.
        identify: Names the language of a text; asked only where the log does not say, over all turns at once, because
            single short turns are often taken for another language.

    Returns:
        The conversation as it may be stored.
    """
    memory = Memory(salt)
    for turn in transcript.turns:
        memory.reserve(turn.text)  # a later turn may quote [ORDER_1] from another system; no value here may take it
    turns = tuple(TranscriptTurn(turn.role, redactor.redact(turn.text, memory).text, turn.at) for turn in transcript.turns)
    lang = transcript.lang
    if lang is None:
        lang = identify("\n".join(turn.text for turn in turns)[:_SAMPLE_CHARS])
    return replace(
        transcript,
        id=pseudonym(transcript.id, redactor, salt) if "@" in transcript.id else transcript.id,
        contact=pseudonym(transcript.contact, redactor, salt) if transcript.contact else None,
        turns=turns,
        lang=lang,
    )
