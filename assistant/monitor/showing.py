"""Messages and conversations to show: texts by the ids of events, and how a conversation went, turn by turn.

Alerts, notices and reports keep ids alone and fetch the words here, so that none of them outlives a customer who is
forgotten. Knows live messages and past turns; does not know who looks at them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import orjson
import sqlalchemy as sa

from assistant import provenance, schema
from assistant.database import Database
from assistant.monitor import readings
from assistant.monitor.event_rows import chances_of, topic_and_locale
from assistant.records import Role

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a conversation; probabilities are ``None`` for what is no customer's, or was never read.

    ``locale`` is that of the line's event, ``""`` where it has none.
    """

    id: str
    at: datetime | None
    role: Role
    text: str
    negative: float | None = None
    positive: float | None = None
    locale: str = ""


def texts(database: Database, ids: Iterable[str]) -> dict[str, str]:
    """Fetch what was said.

    Args:
        database: An open database.
        ids: Ids of events.

    Returns:
        The redacted texts by id, in the order asked for; without those that are gone.
    """
    wanted = list(dict.fromkeys(ids))
    past = readings.turn_keys(wanted)
    live = [id for id in wanted if id not in set(past.values())]
    found: dict[str, str] = {}
    said, turns = schema.messages, schema.transcript_turns
    key = (turns.c.source_id, turns.c.transcript_id, turns.c.position)
    with database.reading() as connection:
        for start in range(0, len(live), _CHUNK):
            query = sa.select(said.c.id, said.c.text).where(said.c.id.in_(live[start : start + _CHUNK]))
            found.update((row.id, row.text) for row in connection.execute(query))
        keys = list(past)
        for start in range(0, len(keys), _CHUNK):
            lines = sa.select(*key, turns.c.text).where(readings.among(turns, keys[start : start + _CHUNK]))
            for source_id, id, place, text in connection.execute(lines):
                if (source_id, id, place) in past:
                    found[past[source_id, id, place]] = text
    return {id: found[id] for id in wanted if id in found}


def conversation(database: Database, ref: str) -> list[Said]:
    """Tell how a conversation went.

    Args:
        database: An open database.
        ref: ``Event.conversation``: ``conversation:ID`` or ``transcript:SOURCE_ID/ID``.

    Returns:
        Its lines in their order, with the customer's probabilities; none for an unknown conversation.
    """
    if ref.startswith(provenance.conversation_ref("")):
        return _live(database, ref.removeprefix(provenance.conversation_ref("")))
    source_id, _, id = ref.removeprefix(readings.PAST).partition("/")
    return _past(database, source_id, id) if ref.startswith(readings.PAST) else []


def _live(database: Database, id: str) -> list[Said]:
    said, held = schema.messages, schema.conversations
    query = sa.select(said.c.id, said.c.at, said.c.role, said.c.text, sa.cast(said.c.understanding, sa.Text), held.c.lang)
    query = query.join(held, held.c.id == said.c.conversation_id)
    lines = []
    with database.reading() as connection:
        for own, at, role, text, understood, lang in connection.execute(
            query.where(said.c.conversation_id == id).order_by(said.c.position)
        ):
            known = orjson.loads(understood) if understood else {}
            felt = known.get("sentiment")
            if felt is None:
                lines.append(Said(own, at, role, text))
                continue
            chances, (_, locale) = chances_of(felt["label"], felt["confidence"], felt["score"]), topic_and_locale(known, lang)
            lines.append(Said(own, at, role, text, chances.negative, chances.positive, locale))
    return lines


def _past(database: Database, source_id: str, id: str) -> list[Said]:
    turns, read, past = schema.transcript_turns, schema.readings, schema.transcripts
    query = (
        sa.select(
            turns.c.position,
            sa.func.coalesce(turns.c.at, past.c.started_at),
            turns.c.role,
            turns.c.text,
            read.c.negative,
            read.c.positive,
            sa.func.coalesce(read.c.locale, ""),
        )
        .join(past, sa.and_(past.c.source_id == turns.c.source_id, past.c.id == turns.c.transcript_id))
        .outerjoin(read, readings.same_turn(read, turns))
        .where(turns.c.source_id == source_id, turns.c.transcript_id == id)
        .order_by(turns.c.position)
    )
    with database.reading() as connection:
        return [
            Said(readings.turn_id(source_id, id, place), at, role, text, negative, positive, locale)
            for place, at, role, text, negative, positive, locale in connection.execute(query)
        ]
