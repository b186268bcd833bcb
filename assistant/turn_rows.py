"""Live turns as rows and back: messages with what was understood, replies with how they were made, evidence.

Plain values in, plain values out; knows no database. ``store.py`` puts the rows in and gets them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from assistant.records import Hit, IntentGuess, Message, Passage, Reply, Sentiment, Turn, Understanding


def message_rows(message: Message, reply: Reply, position: int) -> list[dict[str, Any]]:
    """Make the two rows of a turn.

    What was understood belongs to the customer's row, how it was answered to the bot's.

    Args:
        message: The customer's message.
        reply: The reply to it.
        position: Place of the message in its conversation; the reply takes the next.

    Returns:
        The customer's row and the bot's, with the same keys.
    """
    asked = {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "position": position,
        "role": "customer",
        "text": message.text,
        "at": message.at,
        "slots": message.slots,
        "understanding": _understanding_json(reply.understanding),
        "action": None,
        "reason": None,
        "origin": None,
        "versions": None,
        "thresholds": None,
        "stages_ms": None,
        "latency_ms": None,
        "reply_to": None,
    }
    answered = {
        "id": reply.message_id,
        "conversation_id": message.conversation_id,
        "position": position + 1,
        "role": "bot",
        "text": reply.text,
        "at": message.at + timedelta(milliseconds=float(reply.latency_ms)),
        "slots": reply.slots,
        "understanding": None,
        "action": reply.action,
        "reason": reply.reason,
        "origin": reply.origin,
        "versions": reply.versions,
        "thresholds": reply.thresholds,
        "stages_ms": reply.stages_ms,
        "latency_ms": float(reply.latency_ms),
        "reply_to": message.id,
    }
    return [asked, answered]


def evidence_rows(reply: Reply) -> list[dict[str, Any]]:
    """Make the rows of a reply's evidence, best first.

    Args:
        reply: The reply.

    Returns:
        One row for each hit; its scores are plain floats, whatever kind of number they came as.
    """
    return [
        {
            "message_id": reply.message_id,
            "rank": rank,
            "passage_id": hit.passage.id,
            "kind": hit.passage.kind,
            "title": hit.passage.title,
            "text": hit.passage.text,
            "source": hit.passage.source,
            "score": float(hit.score),
            "dense": float(hit.dense),
            "lexical": float(hit.lexical),
        }
        for rank, hit in enumerate(reply.evidence)
    ]


def turn(asked: Mapping[str, Any], answered: Mapping[str, Any], shown: Sequence[Mapping[str, Any]]) -> Turn:
    """Make a turn of its rows.

    Args:
        asked: The customer's row.
        answered: The bot's row.
        shown: Rows of the evidence, best first.

    Returns:
        The turn; its passages have no ``search_text``, its understanding no ``vector``.
    """
    message = Message(asked["id"], asked["conversation_id"], asked["text"], asked["at"], asked["slots"])
    reply = Reply(
        conversation_id=answered["conversation_id"],
        message_id=answered["id"],
        action=answered["action"],
        reason=answered["reason"],
        text=answered["text"],
        understanding=_understanding(asked["understanding"]),
        evidence=tuple(_hit(row) for row in shown),
        versions=answered["versions"],
        latency_ms=answered["latency_ms"],
        thresholds=answered["thresholds"],
        slots=answered["slots"],
        stages_ms=answered["stages_ms"],
        origin=answered["origin"],
    )
    return Turn(message, reply)


def _understanding_json(known: Understanding) -> dict[str, Any]:
    return {
        "language": known.language,
        "intents": [{"name": guess.name, "confidence": float(guess.confidence)} for guess in known.intents],
        "out_of_scope": float(known.out_of_scope),
        "sentiment": None if known.sentiment is None else asdict(known.sentiment),
        "slots": known.slots,
        "versions": known.versions,
        **({"emotions": known.emotions} if known.emotions else {}),
    }


def _understanding(stored: Mapping[str, Any]) -> Understanding:
    return Understanding(
        language=stored["language"],
        intents=tuple(IntentGuess(**guess) for guess in stored["intents"]),
        out_of_scope=stored["out_of_scope"],
        sentiment=None if stored["sentiment"] is None else Sentiment(**stored["sentiment"]),
        slots=stored["slots"],
        versions=stored["versions"],
        emotions=stored.get("emotions") or {},
    )


def _hit(row: Mapping[str, Any]) -> Hit:
    passage = Passage(row["passage_id"], row["kind"], row["title"], row["text"], search_text="", source=row["source"])
    return Hit(passage, row["score"], row["dense"], row["lexical"])
