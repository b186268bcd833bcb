"""The sentiment monitor: readings of past turns, alerts, the outbox, detector snapshots, customers' messages by time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add an index over what customers wrote, and the tables that the monitor keeps its books in."""
    customer = sa.text("role = 'customer'")
    op.create_index("ix_messages_customer", "messages", ["at", "id"], sqlite_where=customer, postgresql_where=customer)
    op.create_table(
        "readings",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("transcript_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("negative", sa.Double(), nullable=False),
        sa.Column("positive", sa.Double(), nullable=False),
        sa.Column("emotions", sa.JSON(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("intent_version", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id", "transcript_id", "position"],
            ["transcript_turns.source_id", "transcript_turns.transcript_id", "transcript_turns.position"],
            name=op.f("fk_readings_transcript_turns"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("source_id", "transcript_id", "position", name=op.f("pk_readings")),
    )
    op.create_index(op.f("ix_readings_at_id"), "readings", ["at", "id"])
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("locale", sa.Text(), nullable=False),
        sa.Column("signal", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True)),
        sa.Column("acknowledged_by", sa.Text(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("resolved_by", sa.Text(), nullable=False),
        sa.Column("also", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_opened_at"), "alerts", ["opened_at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text()),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_outbox_alerts"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_alert_id"), "outbox", ["alert_id"])
    waiting = sa.text("state = 'waiting'")
    op.create_index("ix_outbox_waiting", "outbox", ["next_at"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_table(
        "monitor_state",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_monitor_state")),
    )
