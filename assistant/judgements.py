"""What live replies were worth: corrections that people wrote, and how each reply turned out.

Reads conversations together with the judgements of them. Does not know what is learned from that; ``learning.py`` hands
it on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from assistant import schema
from assistant.database import Database
from assistant.provenance import conversation_ref
from assistant.records import Action, Language, SentimentLabel


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person put right: the customer's ``question``, and the right ``answer`` (may be empty) or ``intent``.

    ``at`` is when it was judged; where nobody said, when the reply was given.
    """

    message_id: str
    conversation_id: str
    question: str
    answer: str
    intent: str | None
    lang: Language
    at: datetime

    @property
    def ref(self) -> str:
        """Return the ref of the conversation that it stands in."""
        return conversation_ref(self.conversation_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one reply turned out, with the sentiment of the message it answers and ``score`` in [-1, 1]."""

    conversation_id: str
    at: datetime
    version: str | None
    action: Action
    reason: str
    sentiment: SentimentLabel | None
    score: float | None


def list_corrections(database: Database, since: datetime | None = None) -> list[Correction]:
    """List the judgements that say what would have been right.

    Args:
        database: An open database.
        since: Only those made after this time.

    Returns:
        The corrections, oldest first.
    """
    query = _CORRECTIONS if since is None else _CORRECTIONS.where(since < _JUDGED_AT)
    with database.reading() as connection:
        return [_correction(row) for row in connection.execute(query).mappings()]


def corrections_stamp(database: Database) -> str:
    """Tell the corrections' state in a text that changes whenever one is added, replaced or erased.

    Args:
        database: An open database.

    Returns:
        An opaque text; cheap to ask for before every reply.
    """
    with database.reading() as connection:
        row = connection.execute(_STAMP).one()
    return f"{row.number}/{row.last.isoformat() if row.last else '-'}/{row.length or 0}"


def list_outcomes(database: Database, task: str, since: datetime) -> list[Outcome]:
    """List how replies turned out, and which version of a task had a part in them.

    Args:
        database: An open database.
        task: An adapter's task.
        since: Only replies given at this time or later.

    Returns:
        One for each reply of the bot, oldest first; ``version`` is ``None`` where none of the task was loaded.
    """
    with database.reading() as connection:
        return [_outcome(row, task) for row in connection.execute(_OUTCOMES, {"since": since}).mappings()]


_ASKED = schema.messages.alias("asked")
_ANSWERED = schema.messages.alias("answered")
_PAIRS = sa.join(_ANSWERED, _ASKED, _ASKED.c.id == _ANSWERED.c.reply_to)
_JUDGED_AT = sa.func.coalesce(schema.feedback.c.at, _ANSWERED.c.at)
_CORRECTIONS = (
    sa.select(
        schema.feedback.c.message_id,
        _ANSWERED.c.conversation_id,
        _ASKED.c.text,
        _ASKED.c.understanding,
        schema.feedback.c.correction,
        schema.feedback.c.intent,
        schema.conversations.c.lang,
        _JUDGED_AT.label("at"),
    )
    .select_from(
        sa.join(schema.feedback, _PAIRS, schema.feedback.c.message_id == _ANSWERED.c.id).join(
            schema.conversations, schema.conversations.c.id == _ANSWERED.c.conversation_id
        )
    )
    .where(schema.CORRECTED)
    .order_by(_JUDGED_AT, schema.feedback.c.message_id)
)
# The lengths tell a replacement within one tick of the clock from what it replaces.
_STAMP = sa.select(
    sa.func.count().label("number"),
    sa.func.max(schema.feedback.c.at).label("last"),
    sa.func.sum(
        sa.func.length(schema.feedback.c.correction) + sa.func.length(sa.func.coalesce(schema.feedback.c.intent, ""))
    ).label("length"),
).where(schema.CORRECTED)
_OUTCOMES = (
    sa.select(
        _ANSWERED.c.conversation_id,
        _ANSWERED.c.at,
        _ANSWERED.c.versions,
        _ANSWERED.c.action,
        _ANSWERED.c.reason,
        _ASKED.c.understanding,
    )
    .select_from(_PAIRS)
    .where(_ANSWERED.c.role == "bot", _ANSWERED.c.at >= sa.bindparam("since", type_=schema.Moment))
    .order_by(_ANSWERED.c.at, _ANSWERED.c.id)
)


def _correction(row: sa.RowMapping) -> Correction:
    spoken = (row["understanding"] or {}).get("language", "und")
    return Correction(
        message_id=row["message_id"],
        conversation_id=row["conversation_id"],
        question=row["text"],
        answer=row["correction"],
        intent=row["intent"] or None,
        lang=spoken if spoken != "und" else row["lang"] or "und",
        at=row["at"],
    )


def _outcome(row: sa.RowMapping, task: str) -> Outcome:
    sentiment = (row["understanding"] or {}).get("sentiment")
    return Outcome(
        conversation_id=row["conversation_id"],
        at=row["at"],
        version=(row["versions"] or {}).get(task),
        action=row["action"],
        reason=row["reason"],
        sentiment=sentiment["label"] if sentiment else None,
        score=sentiment["score"] if sentiment else None,
    )
