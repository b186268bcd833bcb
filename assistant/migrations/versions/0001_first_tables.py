"""The first tables: sources with what came from them, live conversations with evidence and feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table of an empty database."""
    op.create_table(
        "conversations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text()),
        sa.Column("contact", sa.Text()),
        sa.Column("channel", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_index(op.f("ix_conversations_contact"), "conversations", ["contact"])
    op.create_table(
        "sources",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_sources_name")),
        sa.UniqueConstraint("sha256", name=op.f("uq_sources_sha256")),
    )
    op.create_table(
        "articles",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("lang", sa.Text()),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("intent", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("where", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_articles_sources"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "id", name=op.f("pk_articles")),
        sa.UniqueConstraint("source_id", "position", name=op.f("uq_articles_source_id_position")),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("understanding", sa.JSON()),
        sa.Column("action", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("origin", sa.Text()),
        sa.Column("versions", sa.JSON()),
        sa.Column("thresholds", sa.JSON()),
        sa.Column("stages_ms", sa.JSON()),
        sa.Column("latency_ms", sa.Double()),
        sa.Column("reply_to", sa.Text()),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name=op.f("fk_messages_conversations"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["reply_to"], ["messages.id"], name=op.f("fk_messages_messages"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("conversation_id", "position", name=op.f("uq_messages_conversation_id_position")),
    )
    op.create_index(op.f("ix_messages_at"), "messages", ["at"])
    op.create_index(op.f("ix_messages_reply_to"), "messages", ["reply_to"])
    op.create_table(
        "templates",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("intent", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("ask", sa.Text(), nullable=False),
        sa.Column("required_slots", sa.JSON(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_templates_sources"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "position", name=op.f("pk_templates")),
    )
    op.create_table(
        "transcripts",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("lang", sa.Text()),
        sa.Column("contact", sa.Text()),
        sa.Column("resolved", sa.Boolean()),
        sa.Column("rating", sa.Integer()),
        sa.Column("intent", sa.Text()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("channel", sa.Text()),
        sa.Column("where", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_transcripts_sources"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source_id", "id", name=op.f("pk_transcripts")),
        sa.UniqueConstraint("source_id", "position", name=op.f("uq_transcripts_source_id_position")),
    )
    op.create_index(op.f("ix_transcripts_contact"), "transcripts", ["contact"])
    op.create_table(
        "evidence",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("passage_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("dense", sa.Double(), nullable=False),
        sa.Column("lexical", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_evidence_messages"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("message_id", "rank", name=op.f("pk_evidence")),
    )
    op.create_table(
        "feedback",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("correction", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_feedback_messages"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_feedback")),
    )
    op.create_table(
        "transcript_turns",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("transcript_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["source_id", "transcript_id"],
            ["transcripts.source_id", "transcripts.id"],
            name=op.f("fk_transcript_turns_transcripts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source_id", "transcript_id", "position", name=op.f("pk_transcript_turns")),
    )
