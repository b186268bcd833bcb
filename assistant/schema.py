"""The tables of the store, one description for SQLite and PostgreSQL.

Knows column names and types; how a value is made safe to store is in ``columns.py``. Does not know how a database is
opened (``database.py``) nor what is asked of it (``store.py``, ``sources.py``). A change here needs a step in
``migrations/versions`` and a new ``REVISION``; a test compares the two.
"""

from __future__ import annotations

import sqlalchemy as sa

from assistant.columns import Moment as Moment
from assistant.columns import SafeJSON as SafeJSON
from assistant.columns import SafeText as SafeText
from assistant.columns import insert_into as insert_into
from assistant.columns import storable as storable
from assistant.columns import storable_json as storable_json

#: Newest step in ``migrations/versions``. It stands here too, so that opening a current store needs no Alembic.
REVISION = "0003"
#: A name of our own: a database that another program manages with Alembic is then seen to be foreign.
REVISION_TABLE = "deskhand_revision"

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
#: The monitor reads what customers wrote in order of time, a million messages at a stretch.
WRITTEN_BY_CUSTOMER = messages.c.role == sa.literal_column("'customer'")
sa.Index(
    "ix_messages_customer",
    messages.c.at,
    messages.c.id,
    sqlite_where=WRITTEN_BY_CUSTOMER,
    postgresql_where=WRITTEN_BY_CUSTOMER,
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

# What the monitor keeps. A reading is what the adapters made of a customer's turn in a past conversation, as ``messages``
# holds it for live ones; alerts and outbox name messages by id and hold no text of theirs.

readings = sa.Table(
    "readings",
    metadata,
    sa.Column("source_id", SafeText, primary_key=True),
    sa.Column("transcript_id", SafeText, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", SafeText, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("topic", SafeText, nullable=False),
    sa.Column("locale", SafeText, nullable=False),
    sa.Column("negative", sa.Double, nullable=False),
    sa.Column("positive", sa.Double, nullable=False),
    sa.Column("emotions", SafeJSON, nullable=False),
    sa.Column("version", SafeText, nullable=False),
    sa.Column("intent_version", SafeText, nullable=False),
    sa.ForeignKeyConstraint(
        ["source_id", "transcript_id", "position"],
        ["transcript_turns.source_id", "transcript_turns.transcript_id", "transcript_turns.position"],
        ondelete="CASCADE",
    ),
    sa.Index(None, "at", "id"),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("topic", SafeText, nullable=False),
    sa.Column("locale", SafeText, nullable=False),
    sa.Column("signal", SafeJSON, nullable=False),
    sa.Column("state", SafeText, nullable=False),
    sa.Column("opened_at", Moment, nullable=False, index=True),
    sa.Column("acknowledged_at", Moment),
    sa.Column("acknowledged_by", SafeText, nullable=False),
    sa.Column("resolved_at", Moment),
    sa.Column("resolved_by", SafeText, nullable=False),
    sa.Column("also", SafeJSON, nullable=False),
    sa.Column("details", SafeJSON, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", SafeText, primary_key=True),
    sa.Column("alert_id", SafeText, _owned_by("alerts.id"), nullable=False, index=True),
    sa.Column("target", SafeText, nullable=False),
    sa.Column("body", SafeJSON, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("next_at", Moment, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("state", SafeText, nullable=False),
    sa.Column("last_error", SafeText, nullable=False),
    sa.Column("holder", SafeText),
    sa.Column("until", Moment),
    sa.Column("done_at", Moment),
)
#: What is still to be delivered; those few are looked for every few seconds, among all that ever was.
UNDELIVERED = outbox.c.state == sa.literal_column("'waiting'")
sa.Index("ix_outbox_waiting", outbox.c.next_at, sqlite_where=UNDELIVERED, postgresql_where=UNDELIVERED)

monitor_state = sa.Table(
    "monitor_state",
    metadata,
    sa.Column("name", SafeText, primary_key=True),
    sa.Column("value", SafeJSON, nullable=False),
    sa.Column("at", Moment, nullable=False),
)
