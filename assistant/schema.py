"""The tables of the store, one description for SQLite and PostgreSQL.

Knows column names and types, and how a value is made safe to store. Does not know how a database is opened
(``database.py``) nor what is asked of it (``store.py``, ``sources.py``). A change here needs a step in
``migrations/versions`` and a new ``REVISION``; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.types import TypeDecorator

from assistant.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

#: Newest step in ``migrations/versions``. It stands here too, so that opening a current store needs no Alembic.
REVISION = "0002"
#: A name of our own: a database that another program manages with Alembic is then seen to be foreign.
REVISION_TABLE = "deskhand_revision"


def storable(value: str) -> str:
    """Return the text without what a database refuses.

    PostgreSQL refuses NUL and neither engine takes half of a surrogate pair. NUL is dropped, two halves that belong
    together are joined, and a lone half becomes U+FFFD.

    Args:
        value: Any text.

    Returns:
        The text, unchanged when nothing was wrong with it.
    """
    if "\x00" in value:
        value = value.replace("\x00", "")
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def storable_json(value: Any) -> Any:
    """Return the value with every text in it made storable, keys included.

    Args:
        value: Mappings, sequences, texts, numbers, ``None``, nested at will.

    Returns:
        The same shape; tuples become lists.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(key)): storable_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable_json(item) for item in value]
    return value


class SafeText(TypeDecorator[str]):
    """Text that is made storable on its way in, also where it is compared with."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean one value."""
        return None if value is None else storable(value)


class SafeJSON(TypeDecorator[Any]):
    """JSON whose texts are made storable on their way in."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Clean one value."""
        return storable_json(value)


class Moment(TypeDecorator[datetime]):
    """A point in time: timezone-aware in, UTC out, on engines with and without time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn one value into UTC; refuse one that does not say its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise StoreError(f"time {value.isoformat()} has no time zone: pass an aware datetime, e.g. with tzinfo=UTC")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give one value back in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def insert_into(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Begin an insert that can say what happens to a row that is there already, ``on_conflict_…``.

    Args:
        connection: Where it will run.
        table: Where the rows go.

    Returns:
        The insert in the engine's own dialect; both understand the same.
    """
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # each costs a few hundredths of a second, and one will do

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _owned_by(column: str) -> sa.ForeignKey:
    """Rows go away with the row they belong to; the database sees to it, not the code."""
    return sa.ForeignKey(column, ondelete="CASCADE")


# What was ingested. Rows of a source are keyed by the source first: two files may both have a conversation "17".

sources = sa.Table(
    "sources",
    metadata,
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("name", SafeText, nullable=False, unique=True),
    sa.Column("kind", SafeText, nullable=False),
    sa.Column("sha256", SafeText, nullable=False, unique=True),
    sa.Column("format", SafeText, nullable=False),
    sa.Column("counts", SafeJSON, nullable=False),
    sa.Column("ingested_at", Moment, nullable=False),
)

transcripts = sa.Table(
    "transcripts",
    metadata,
    sa.Column("source_id", SafeText, _owned_by("sources.id"), primary_key=True),
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("lang", SafeText),
    sa.Column("contact", SafeText, index=True),
    sa.Column("resolved", sa.Boolean),
    sa.Column("rating", sa.Integer),
    sa.Column("intent", SafeText),
    sa.Column("started_at", Moment),
    sa.Column("channel", SafeText),
    sa.Column("where", SafeText, nullable=False),
    sa.UniqueConstraint("source_id", "position"),
)

transcript_turns = sa.Table(
    "transcript_turns",
    metadata,
    sa.Column("source_id", SafeText, primary_key=True),
    sa.Column("transcript_id", SafeText, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("role", SafeText, nullable=False),
    sa.Column("text", SafeText, nullable=False),
    sa.Column("at", Moment),
    sa.ForeignKeyConstraint(["source_id", "transcript_id"], ["transcripts.source_id", "transcripts.id"], ondelete="CASCADE"),
)

articles = sa.Table(
    "articles",
    metadata,
    sa.Column("source_id", SafeText, _owned_by("sources.id"), primary_key=True),
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("lang", SafeText),
    sa.Column("title", SafeText, nullable=False),
    sa.Column("body", SafeText, nullable=False),
    sa.Column("intent", SafeText),
    sa.Column("url", SafeText),
    sa.Column("where", SafeText, nullable=False),
    sa.UniqueConstraint("source_id", "position"),
)

templates = sa.Table(
    "templates",
    metadata,
    sa.Column("source_id", SafeText, _owned_by("sources.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("intent", SafeText, nullable=False),
    sa.Column("lang", SafeText, nullable=False),
    sa.Column("text", SafeText, nullable=False),
    sa.Column("ask", SafeText, nullable=False),
    sa.Column("required_slots", SafeJSON, nullable=False),
    sa.Column("title", SafeText, nullable=False),
)

# What happens live. A customer's row holds what was understood, the bot's row how it was answered.

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("lang", SafeText),
    sa.Column("contact", SafeText, index=True),
    sa.Column("channel", SafeText),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("state", SafeText, nullable=False),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("conversation_id", SafeText, _owned_by("conversations.id"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("role", SafeText, nullable=False),
    sa.Column("text", SafeText, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Column("slots", SafeJSON, nullable=False),
    sa.Column("understanding", SafeJSON),
    sa.Column("action", SafeText),
    sa.Column("reason", SafeText),
    sa.Column("origin", SafeText),
    sa.Column("versions", SafeJSON),
    sa.Column("thresholds", SafeJSON),
    sa.Column("stages_ms", SafeJSON),
    sa.Column("latency_ms", sa.Double),
    sa.Column("reply_to", SafeText, _owned_by("messages.id"), index=True),
    sa.UniqueConstraint("conversation_id", "position"),
)

evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("message_id", SafeText, _owned_by("messages.id"), primary_key=True),
    sa.Column("rank", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("passage_id", SafeText, nullable=False),
    sa.Column("kind", SafeText, nullable=False),
    sa.Column("title", SafeText, nullable=False),
    sa.Column("text", SafeText, nullable=False),
    sa.Column("source", SafeText, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("dense", sa.Double, nullable=False),
    sa.Column("lexical", sa.Double, nullable=False),
)

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("message_id", SafeText, _owned_by("messages.id"), primary_key=True),
    sa.Column("rating", sa.Integer, nullable=False),
    sa.Column("comment", SafeText, nullable=False),
    sa.Column("correction", SafeText, nullable=False),
    sa.Column("at", Moment),
    sa.Column("intent", SafeText),
)
#: What makes a judgement a correction; the index holds those few alone, as they are asked for far more often than the thumbs.
CORRECTED = sa.or_(feedback.c.correction != sa.literal_column("''"), feedback.c.intent != sa.literal_column("''"))
sa.Index("ix_feedback_corrections", feedback.c.at, sqlite_where=CORRECTED, postgresql_where=CORRECTED)

# What is learned from it. A ``ref`` names the conversation a row was made from (see ``provenance.py``), and is no foreign
# key: it may be a past conversation or a live one. Texts are unique by their hash: an index cannot hold a long message.

regression_cases = sa.Table(
    "regression_cases",
    metadata,
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("task", SafeText, nullable=False),
    sa.Column("text", SafeText, nullable=False),
    sa.Column("text_sha256", SafeText, nullable=False),
    sa.Column("expected", SafeText, nullable=False),
    sa.Column("lang", SafeText, nullable=False),
    sa.Column("ref", SafeText, nullable=False, index=True),
    sa.Column("at", Moment, nullable=False),
    sa.UniqueConstraint("task", "text_sha256"),
)

review_queue = sa.Table(
    "review_queue",
    metadata,
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("task", SafeText, nullable=False),
    sa.Column("text", SafeText, nullable=False),
    sa.Column("text_sha256", SafeText, nullable=False),
    sa.Column("lang", SafeText, nullable=False),
    sa.Column("proposed", SafeText, nullable=False),
    sa.Column("confidence", sa.Double, nullable=False),
    sa.Column("uncertainty", sa.Double, nullable=False),
    sa.Column("ref", SafeText, nullable=False, index=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("state", SafeText, nullable=False),
    sa.Column("label", SafeText),
    sa.Column("decided_at", Moment),
    sa.UniqueConstraint("task", "text_sha256"),
)

training_runs = sa.Table(
    "training_runs",
    metadata,
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("task", SafeText, nullable=False),
    sa.Column("state", SafeText, nullable=False),
    sa.Column("started_at", Moment, nullable=False, index=True),
    sa.Column("finished_at", Moment),
    sa.Column("until", Moment),
    sa.Column("version", SafeText),
    sa.Column("verdict", SafeJSON, nullable=False),
    sa.Column("counts", SafeJSON, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
)

training_uses = sa.Table(
    "training_uses",
    metadata,
    sa.Column("task", SafeText, primary_key=True),
    sa.Column("version", SafeText, primary_key=True),
    sa.Column("ref", SafeText, primary_key=True, index=True),
)

retraining_due = sa.Table(
    "retraining_due",
    metadata,
    sa.Column("task", SafeText, primary_key=True),
    sa.Column("version", SafeText, primary_key=True),
    sa.Column("reason", SafeText, primary_key=True),
    sa.Column("at", Moment),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", SafeText, primary_key=True),
    sa.Column("holder", SafeText, nullable=False),
    sa.Column("until", Moment, nullable=False),
)
