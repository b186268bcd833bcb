"""The store: what was ingested, every live turn with its evidence and versions, and what people thought of it.

Turns records into rows and back. Does not know how a reply came about, nor what a web page or terminal looks like;
redaction comes before it, monitor and training read from it. The tables are in ``schema.py``, opening and
connections in ``database.py``, whole files in ``sources.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from assistant import provenance, schema, sources, turn_rows
from assistant.database import Database, open_database
from assistant.database import sqlite_url as sqlite_url
from assistant.errors import StoreError
from assistant.learning import Learning
from assistant.monitor.ledger import Ledger
from assistant.records import Article, Feedback, Message, Reply, Template, Transcript, Turn
from assistant.sources import SourceRecord as SourceRecord

ConversationState = Literal["bot", "person", "closed"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """A live conversation; ``state`` says who speaks."""

    id: str
    created_at: datetime
    lang: str | None = None
    contact: str | None = None
    channel: str | None = None
    state: ConversationState = "bot"


def open_store(url: str) -> Store:
    """Open the store, making or updating its tables where needed.

    Args:
        url: A SQLAlchemy URL, ``sqlite:////path/deskhand.db`` (see ``sqlite_url``) or ``postgresql+psycopg://…``.

    Returns:
        The open store; close it, or use it in a ``with`` statement.

    Raises:
        StoreError: Nothing can be opened there, it holds something else, or a newer Deskhand wrote it.
    """
    return Store(open_database(url))


class Store:
    """Everything Deskhand remembers; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        """Take over an open database."""
        self._database = database
        self._learning = Learning(database)
        self._monitor = Ledger(database)

    @property
    def learning(self) -> Learning:
        """What the learning loop reads and keeps."""
        return self._learning

    @property
    def monitor(self) -> Ledger:
        """What the sentiment monitor reads and keeps."""
        return self._monitor

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # What was ingested

    def source_by_sha(self, sha: str) -> SourceRecord | None:
        """Find the source whose bytes have this SHA-256; see ``sources.find_source``."""
        return sources.find_source(self._database, sha)

    def sources(self) -> list[SourceRecord]:
        """List what was ingested, oldest first; see ``sources.list_sources``."""
        return sources.list_sources(self._database)

    def add_source(
        self,
        source: SourceRecord,
        transcripts: Iterable[Transcript] = (),
        articles: Iterable[Article] = (),
        templates: Iterable[Template] = (),
        *,
        replaces: str | None = None,
    ) -> dict[str, int]:
        """Store one file's content, all or nothing, instead of the source named ``replaces``; see ``sources.add_source``."""
        return sources.add_source(self._database, source, transcripts, articles, templates, replaces=replaces)

    def remove_source(self, name: str, *, at: datetime | None = None) -> bool:
        """Take a source and all that came from it out, and say whether it was there; see ``sources.remove_source``."""
        return sources.remove_source(self._database, name, at)

    def iter_transcripts(self, source_id: str | None = None) -> Iterator[Transcript]:
        """Stream the stored conversations, of one source or of all; see ``sources.iter_transcripts``."""
        return sources.iter_transcripts(self._database, source_id)

    def iter_articles(self, source_id: str | None = None) -> Iterator[Article]:
        """Stream the stored articles, of one source or of all; see ``sources.iter_articles``."""
        return sources.iter_articles(self._database, source_id)

    def iter_templates(self, source_id: str | None = None) -> Iterator[Template]:
        """Stream the stored templates, of one source or of all; see ``sources.iter_templates``."""
        return sources.iter_templates(self._database, source_id)

    # What happens live

    def start_conversation(
        self, id: str, at: datetime, lang: str | None = None, contact: str | None = None, channel: str | None = None
    ) -> None:
        """Begin a conversation, with the bot speaking.

        Args:
            id: Its id, new to the store.
            at: When it began, timezone-aware.
            lang: Its language, where known.
            contact: Who the customer is to the company, where known.
            channel: Where it is held, such as ``chat`` or ``api``.

        Raises:
            StoreError: The id is taken, or the database fails.
        """
        row = {"id": id, "created_at": at, "lang": lang, "contact": contact, "channel": channel, "state": "bot"}
        with self._database.writing() as connection:
            if connection.execute(_CONVERSATION, {"id": id}).first() is not None:
                raise StoreError(f"conversation {id!r} exists already: begin it with a new id")
            connection.execute(schema.conversations.insert(), row)

    def conversation(self, id: str) -> Conversation | None:
        """Find a conversation.

        Args:
            id: Its id.

        Returns:
            The conversation, or ``None`` when there is none of that id.
        """
        with self._database.reading() as connection:
            row = connection.execute(_CONVERSATION, {"id": id}).mappings().first()
        return None if row is None else Conversation(**row)

    def set_state(self, conversation_id: str, state: ConversationState) -> None:
        """Say who speaks now.

        Args:
            conversation_id: A conversation in the store.
            state: ``bot``, ``person`` or ``closed``.

        Raises:
            StoreError: There is no such conversation or state.
        """
        if state not in get_args(ConversationState):
            raise StoreError(f"conversation state {state!r} is none of {', '.join(get_args(ConversationState))}")
        change = schema.conversations.update().where(schema.conversations.c.id == conversation_id).values(state=state)
        with self._database.writing() as connection:
            if connection.execute(change).rowcount == 0:
                raise _unknown("conversation", conversation_id)

    def record_turn(self, message: Message, reply: Reply) -> None:
        """Store a customer's message and the bot's reply to it with its evidence, in one transaction.

        The reply's time is the message's plus the reply's latency. ``Understanding.vector`` is not stored.

        Args:
            message: The redacted message, of a conversation in the store.
            reply: The reply; ``message_id`` is its own id, not the customer's.

        Raises:
            StoreError: The conversation is unknown or another than the reply's, an id is taken, or the database fails.
        """
        if message.conversation_id != reply.conversation_id:
            raise StoreError(f"message {message.id!r} is of {message.conversation_id!r}, its reply of {reply.conversation_id!r}")
        hits = turn_rows.evidence_rows(reply)
        with self._database.writing() as connection:
            if connection.execute(_LOCKED_CONVERSATION, {"id": message.conversation_id}).first() is None:
                raise _unknown("conversation", message.conversation_id)
            position = connection.execute(_NEXT_POSITION, {"id": message.conversation_id}).scalar_one()
            connection.execute(_ADD_MESSAGES, turn_rows.message_rows(message, reply, position))
            if hits:
                connection.execute(_ADD_EVIDENCE, hits)

    def turns(self, conversation_id: str, limit: int = 6) -> list[Turn]:
        """Read the last turns of a conversation.

        Evidence comes back as it was shown: passages without ``search_text``. ``Understanding.vector`` is ``None``.

        Args:
            conversation_id: Any id.
            limit: How many at most.

        Returns:
            The turns, oldest first; none for an unknown conversation.
        """
        if limit < 1:
            return []
        with self._database.reading() as connection:
            rows = connection.execute(_TURNS, {"id": conversation_id, "limit": limit}).all()
            pairs = [(_cut(row, 0), _cut(row, len(_MESSAGE_COLUMNS))) for row in reversed(rows)]
            shown = _evidence(connection, [bot["id"] for _, bot in pairs])
        return [turn_rows.turn(asked, bot, [row for row in shown if row["message_id"] == bot["id"]]) for asked, bot in pairs]

    def message_detail(self, message_id: str) -> dict[str, Any] | None:
        """Tell everything that is stored about one turn, ready for JSON.

        Args:
            message_id: The id of the customer's message or of the reply.

        Returns:
            ``conversation``, ``message``, ``reply``, ``evidence`` (best first) and ``feedback``, each as stored and
            ``None`` where there is none, times in ISO 8601; or ``None`` for an unknown id.
        """
        table = schema.messages
        with self._database.reading() as connection:
            asked = _shown(connection, table, table.c.id == message_id)
            if asked is None:
                return None
            message = asked if asked["reply_to"] is None else _shown(connection, table, table.c.id == asked["reply_to"])
            reply = asked if asked["reply_to"] is not None else _shown(connection, table, table.c.reply_to == asked["id"])
            owner = _shown(connection, schema.conversations, schema.conversations.c.id == asked["conversation_id"])
            judged = None if reply is None else _shown(connection, schema.feedback, schema.feedback.c.message_id == reply["id"])
            shown = [] if reply is None else _evidence(connection, [reply["id"]])
        return {
            "conversation": owner,
            "message": message,
            "reply": reply,
            "evidence": [{name: value for name, value in row.items() if name != "message_id"} for row in shown],
            "feedback": judged,
        }

    # What people thought of it

    def add_feedback(self, feedback: Feedback) -> None:
        """Store a person's judgement of a reply, in place of an earlier one.

        Args:
            feedback: The judgement; ``message_id`` is the reply's id.

        Raises:
            StoreError: There is no such message, it is the customer's own, or the database fails.
        """
        table = schema.feedback
        with self._database.writing() as connection:
            judged = sa.select(schema.messages.c.role).where(schema.messages.c.id == feedback.message_id).with_for_update()
            role = connection.execute(judged).scalar()
            if role is None:
                raise _unknown("message", feedback.message_id)
            if role == "customer":
                raise StoreError(
                    f"message {feedback.message_id!r} is the customer's own: judge the reply to it, by the reply's id"
                )
            connection.execute(table.delete().where(table.c.message_id == feedback.message_id))
            connection.execute(table.insert(), asdict(feedback))

    def feedback(self, message_id: str) -> Feedback | None:
        """Find the judgement of a reply.

        Args:
            message_id: The reply's id.

        Returns:
            The last judgement, or ``None`` when there is none.
        """
        query = sa.select(schema.feedback).where(schema.feedback.c.message_id == message_id)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Feedback(**row)

    def knows_contact(self, contact: str) -> bool:
        """Say whether any conversation, live or past, is of a contact.

        Args:
            contact: The contact, exactly as stored.
        """
        tables = (schema.conversations, schema.transcripts)
        found = sa.or_(*(sa.exists().where(table.c.contact == contact) for table in tables))
        with self._database.reading() as connection:
            return bool(connection.execute(sa.select(found)).scalar_one())

    def forget_contact(self, contact: str, *, at: datetime | None = None) -> int:
        """Delete a contact's conversations, live and past, with their messages, evidence, feedback and what was learned.

        Texts to label and regression cases made from them go too, and every adapter version that was trained on one of
        them is noted as due to be trained anew (``Learning.due``).

        Args:
            contact: The contact, exactly as stored.
            at: The time, timezone-aware, for that note.

        Returns:
            How many conversations went away.
        """
        with self._database.writing() as connection:
            provenance.one_at_a_time(connection)
            refs = provenance.refs_of_contact(connection, contact)
            provenance.let_go(connection, refs, provenance.ERASED, at)
            return sum(
                connection.execute(table.delete().where(table.c.contact == contact)).rowcount
                for table in (schema.conversations, schema.transcripts)
            )


_MESSAGE_COLUMNS = tuple(column.name for column in schema.messages.c)
_CONVERSATION = sa.select(schema.conversations).where(schema.conversations.c.id == sa.bindparam("id"))
# Two turns of one conversation at once would take the same position; PostgreSQL lets the second wait here.
_LOCKED_CONVERSATION = (
    sa.select(schema.conversations.c.id).where(schema.conversations.c.id == sa.bindparam("id")).with_for_update()
)
_NEXT_POSITION = sa.select(sa.func.coalesce(sa.func.max(schema.messages.c.position), -1) + 1).where(
    schema.messages.c.conversation_id == sa.bindparam("id")
)
_ADD_MESSAGES = schema.messages.insert()
_ADD_EVIDENCE = schema.evidence.insert()
_BOT = schema.messages.alias("bot")
_CUSTOMER = schema.messages.alias("customer")
_TURNS = (
    sa.select(*_CUSTOMER.c, *_BOT.c)
    .join_from(_BOT, _CUSTOMER, _CUSTOMER.c.id == _BOT.c.reply_to)
    .where(_BOT.c.conversation_id == sa.bindparam("id"))
    .order_by(_BOT.c.position.desc())
    .limit(sa.bindparam("limit"))
)
_EVIDENCE = (
    sa.select(schema.evidence)
    .where(schema.evidence.c.message_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(schema.evidence.c.message_id, schema.evidence.c.rank)
)


def _cut(row: sa.Row[Any], start: int) -> dict[str, Any]:
    """Take one message's columns out of a row that joins two."""
    return dict(zip(_MESSAGE_COLUMNS, row[start : start + len(_MESSAGE_COLUMNS)], strict=True))


def _evidence(connection: Connection, ids: list[str]) -> list[dict[str, Any]]:
    """Read the evidence of these replies, best first within each."""
    return [dict(row) for row in connection.execute(_EVIDENCE, {"ids": ids}).mappings()]


def _shown(connection: Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> dict[str, Any] | None:
    """Read the first row of a table that fits, as JSON can say it."""
    row = connection.execute(sa.select(table).where(condition)).mappings().first()
    if row is None:
        return None
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _unknown(what: str, id: str) -> StoreError:
    return StoreError(f"there is no {what} {id[:80]!r} in the store: check the id")
