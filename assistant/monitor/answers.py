"""What became of customers' messages: the reply to each, with its reason, its articles, its rating and how long it took.

Rows of live replies out of the store, as the alert's explanation and the report read them. Past conversations were answered by
people and stand in no row here. Knows no topic of its own: it is the customer's message that has one (``event_rows.py``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import orjson
import sqlalchemy as sa

from assistant import provenance, schema
from assistant.database import Database
from assistant.monitor.event_rows import topic_and_locale
from assistant.monitor.report_records import Answered

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Shown:
    """An article that a reply stood on."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Replied:
    """The reply to one message: ``action`` as the check decided, and the articles it stood on."""

    message_id: str
    action: str
    reason: str
    articles: tuple[Shown, ...]


def replies(database: Database, ids: Iterable[str]) -> list[Replied]:
    """Find the replies to customers' messages.

    Args:
        database: An open database.
        ids: Of live messages; others have no reply here.

    Returns:
        One for each message that was replied to, in the order of the ids.
    """
    wanted = list(dict.fromkeys(ids))
    said, proof = schema.messages, schema.evidence
    found: dict[str, Replied] = {}
    with database.reading() as connection:
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            query = sa.select(said.c.reply_to, said.c.action, said.c.reason, said.c.id).where(said.c.reply_to.in_(chunk))
            rows = connection.execute(query).all()
            shown: dict[str, list[Shown]] = defaultdict(list)
            articles = sa.select(proof.c.message_id, proof.c.passage_id, proof.c.title).where(
                proof.c.message_id.in_([row.id for row in rows]), proof.c.kind == "article"
            )
            for owner, passage, title in connection.execute(articles.order_by(proof.c.message_id, proof.c.rank)):
                shown[owner].append(Shown(passage, title))
            found |= {row.reply_to: Replied(row.reply_to, row.action, row.reason, tuple(shown[row.id])) for row in rows}
    return [found[id] for id in wanted if id in found]


def answered(database: Database, since: datetime, until: datetime) -> Iterator[Answered]:
    """Read what became of the messages of a period.

    Args:
        database: An open database.
        since: First moment.
        until: End; not part of it.

    Yields:
        One for each customer's message that was replied to, in order of time.
    """
    asked, bot, held, judged = schema.messages.alias("asked"), schema.messages.alias("bot"), schema.conversations, schema.feedback
    query = (
        sa.select(
            asked.c.id,
            asked.c.conversation_id,
            bot.c.at,
            sa.cast(asked.c.understanding, sa.Text).label("understanding"),
            held.c.lang,
            held.c.channel,
            bot.c.action,
            bot.c.reason,
            bot.c.origin,
            judged.c.rating,
            bot.c.latency_ms,
            bot.c.versions,
            sa.func.length(sa.func.trim(asked.c.text)).label("length"),
        )
        .join(bot, bot.c.reply_to == asked.c.id)
        .join(held, held.c.id == asked.c.conversation_id)
        .outerjoin(judged, judged.c.message_id == bot.c.id)
        .where(asked.c.at >= since, asked.c.at < until)
        .order_by(asked.c.at, asked.c.id)
    )
    with database.reading() as connection:
        for row in connection.execute(query):
            known = orjson.loads(row.understanding) if row.understanding else {}
            topic, locale = topic_and_locale(known, row.lang)
            yield Answered(
                id=row.id,
                conversation=provenance.conversation_ref(row.conversation_id),
                at=row.at,
                topic=topic,
                locale=locale,
                channel=row.channel or "",
                action=row.action,
                reason=row.reason,
                origin=row.origin or "",
                rating=row.rating,
                latency_ms=row.latency_ms or 0.0,
                versions=row.versions or {},
                asked=row.length or 0,
            )
