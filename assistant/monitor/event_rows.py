"""Customers' messages, live and past, as one stream of events in order of (time, id).

A live message's event has the message's id and is made of what was understood when it came; a past turn's is made of its
reading (``readings.py``) and is named by it. Conversations are named by the refs of ``provenance.py``. Does not know what
the events tell: ``trend.py`` and the detectors come after.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from heapq import merge
from sys import intern
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from assistant import provenance, schema
from assistant.database import Database
from assistant.monitor.events import Event
from assistant.records import SentimentLabel, Understanding

OUT_OF_SCOPE = "oos"
_PAGE = 5_000
_Rows = Callable[[Connection, "Place | None", datetime | None, int], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader of the stream stands: at the event of this time and id, which it has seen."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Stream:
    """One topic in one locale."""

    topic: str
    locale: str


@dataclass(frozen=True, slots=True)
class Chances:
    """Probability that a message is negative and that it is positive, each in [0, 1]."""

    negative: float
    positive: float


def topic_of(understanding: Understanding) -> str:
    """Name a message's topic: what the intent adapter thinks most likely, none of the company's business included.

    Args:
        understanding: What was understood.

    Returns:
        The best intent's name, ``oos`` where that is likelier than any intent, ``""`` where no adapter named one.
    """
    best = understanding.intents[0] if understanding.intents else None
    return _topic(best.name if best else "", best.confidence if best else 0.0, understanding.out_of_scope)


def chances_of(label: SentimentLabel, confidence: float, score: float) -> Chances:
    """Work out the probabilities behind a stored sentiment.

    Three probabilities that add up to 1 are known by two figures: the label's own, and ``score`` = P(positive) -
    P(negative). For negative and positive the other follows from the score; for neutral the rest is split by the score.
    So nothing is estimated, as long as the adapter knows no label beyond the three.

    Args:
        label: The likeliest of the three.
        confidence: Its probability.
        score: As stored.

    Returns:
        The probabilities, exact but for rounding.
    """
    if label == "negative":
        negative, positive = confidence, confidence + score
    elif label == "positive":
        negative, positive = confidence - score, confidence
    else:
        negative, positive = (1.0 - confidence - score) / 2, (1.0 - confidence + score) / 2
    return Chances(min(max(negative, 0.0), 1.0), min(max(positive, 0.0), 1.0))


def stream(
    database: Database,
    after: Place | None = None,
    until: datetime | None = None,
    page: int = _PAGE,
    only: Collection[Stream] | None = None,
) -> Iterator[Event]:
    """Read customers' messages, live and past, as one stream.

    Reads page by page: what is stored meanwhile and belongs before the place reached is not seen; compare ``count``.

    Args:
        database: An open database.
        after: Begin behind this place; ``None`` begins at the beginning.
        until: End before this time.
        page: How many rows are fetched at once.
        only: Read these streams alone.

    Returns:
        Events in order of (at, id), each id once.
    """
    live = _paged(database, partial(_live_rows, only), _live_event, after, until, page)
    past = _paged(database, partial(_past_rows, only), _past_event, after, until, page)
    if only is not None:
        live = (event for event in live if Stream(event.topic, event.locale) in only)
    return merge(live, past, key=lambda event: (event.at, event.id))


def count(database: Database, upto: Place) -> int:
    """Count the events up to a place.

    A reader that saw another number has missed some that came late, or some are gone: it should begin anew.

    Args:
        database: An open database.
        upto: The place, which counts too.

    Returns:
        How many events there are now.
    """
    total = 0
    with database.reading() as connection:
        for table, customer in ((schema.messages, schema.WRITTEN_BY_CUSTOMER), (schema.readings, sa.true())):
            before = sa.or_(
                table.c.at < upto.at, sa.and_(table.c.at == upto.at, _by_code_point(connection, table.c.id) <= upto.id)
            )
            total += connection.execute(sa.select(sa.func.count()).select_from(table).where(customer, before)).scalar_one()
    return total


def topic_and_locale(known: Mapping[str, Any], lang: str | None) -> tuple[str, str]:
    """Read a stored understanding's topic and locale.

    Args:
        known: The understanding as it is stored; empty for none.
        lang: The conversation's language, for a message whose own is not known.

    Returns:
        The topic as ``topic_of`` names it, and the locale.
    """
    intents, language = known.get("intents"), known.get("language")
    name, confidence = (intents[0]["name"], intents[0]["confidence"]) if intents else ("", 0.0)
    return _topic(name, confidence, known.get("out_of_scope", 0.0)), language if language and language != "und" else lang or "und"


def _topic(name: str, confidence: float, out_of_scope: float) -> str:
    return OUT_OF_SCOPE if out_of_scope > confidence else name


def _by_code_point(connection: Connection, column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """Order texts as Python and SQLite do, whatever PostgreSQL's own order is."""
    return column.collate("C") if connection.dialect.name == "postgresql" else column


def _page_of(
    connection: Connection, query: sa.Select[Any], table: sa.Table, after: Place | None, until: datetime | None, page: int
) -> Sequence[Any]:
    at, id = table.c.at, _by_code_point(connection, table.c.id)
    if after is not None:
        query = query.where(at >= after.at, sa.or_(at > after.at, id > after.id))
    if until is not None:
        query = query.where(at < until)
    return connection.execute(query.order_by(at, id).limit(page)).all()


def _paged(
    database: Database,
    rows: _Rows,
    event: Callable[[Any], Event],
    after: Place | None,
    until: datetime | None,
    page: int,
) -> Iterator[Event]:
    while True:
        with database.reading() as connection:
            found = rows(connection, after, until, page)
        yield from map(event, found)
        if len(found) < page:
            return
        after = Place(found[-1].at, found[-1].id)


def _live_rows(
    only: Collection[Stream] | None, connection: Connection, after: Place | None, until: datetime | None, page: int
) -> Sequence[Any]:
    said, held = schema.messages, schema.conversations
    understood = sa.cast(said.c.understanding, sa.Text)  # as text: orjson parses it faster than the driver, and only once
    query = sa.select(said.c.id, said.c.at, said.c.conversation_id, understood, held.c.lang, held.c.channel)
    query = query.join(held, held.c.id == said.c.conversation_id).where(schema.WRITTEN_BY_CUSTOMER)
    topics = {one.topic for one in only or ()}
    if only is not None and topics.isdisjoint(("", OUT_OF_SCOPE)):
        # No more than a first sieve: whether the topic is out of scope after all, and the locale, is seen in the event.
        query = query.where(sa.type_coerce(said.c.understanding, sa.JSON)["intents", 0, "name"].as_string().in_(sorted(topics)))
    return _page_of(connection, query, said, after, until, page)


def _live_event(row: Any) -> Event:
    id, at, conversation, understood, lang, channel = row
    known = orjson.loads(understood) if understood else {}
    felt, versions = known.get("sentiment"), known.get("versions") or {}
    topic, locale = topic_and_locale(known, lang)
    chances = chances_of(felt["label"], felt["confidence"], felt["score"]) if felt else _UNKNOWN
    return Event(
        id,
        provenance.conversation_ref(conversation),
        at,
        intern(topic),
        intern(locale),
        intern(channel or ""),
        intern(versions.get("sentiment", "") if felt else ""),
        chances.negative,
        chances.positive,
        known.get("emotions") or {},
        intern(versions.get("intent", "")),
    )


_UNKNOWN = Chances(0.0, 0.0)


def _past_rows(
    only: Collection[Stream] | None, connection: Connection, after: Place | None, until: datetime | None, page: int
) -> Sequence[Any]:
    read, past = schema.readings, schema.transcripts
    emotions = sa.cast(read.c.emotions, sa.Text)
    own = (read.c.topic, read.c.locale, read.c.version, read.c.negative, read.c.positive, emotions, read.c.intent_version)
    query = sa.select(read.c.id, read.c.at, read.c.source_id, read.c.transcript_id, past.c.channel, *own)
    query = query.join(past, sa.and_(past.c.source_id == read.c.source_id, past.c.id == read.c.transcript_id))
    if only is not None:
        named = (sa.and_(read.c.topic == one.topic, read.c.locale == one.locale) for one in only)
        query = query.where(sa.or_(sa.false(), *named))
    return _page_of(connection, query, read, after, until, page)


def _past_event(row: Any) -> Event:
    id, at, source, transcript, channel, topic, locale, version, negative, positive, emotions, intent_version = row
    felt = {} if emotions == "{}" else orjson.loads(emotions)
    ref = provenance.transcript_ref(source, transcript)
    names = (intern(topic), intern(locale), intern(channel or ""), intern(version))  # few, and there are a million events
    return Event(id, ref, at, *names, negative, positive, felt, intern(intent_version))
