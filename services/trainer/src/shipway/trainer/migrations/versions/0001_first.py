"""Delivery tables, declarations, jobs, cancellations, versions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shipway.runtime import delivery

revision = "trainer0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    delivery.create_tables_v1()
    op.create_table(
        "declarations",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("spec", JSONB, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("declared_by", sa.Text, nullable=False),
        sa.Column("declared_at", _TIME, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text),
    )
    op.create_table(
        "jobs",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("until", _TIME),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("state", sa.Text, nullable=False, server_default="queued"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("max_attempts", sa.Integer, nullable=False, server_default="3"),
        sa.Column("not_before", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", _TIME),
        sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("spec", JSONB),
        sa.Column("stage", sa.Text, nullable=False, server_default="queue"),
        sa.Column("fraction", sa.Double, nullable=False, server_default="0"),
        sa.Column("message", sa.Text, nullable=False, server_default=""),
        sa.Column("log_tail", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("started_at", _TIME),
        sa.Column("ended_at", _TIME),
    )
    op.create_index("jobs_open", "jobs", ["created_at"], postgresql_where=sa.text("state in ('queued', 'running')"))
    op.create_table(
        "cancellations",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("requested_at", _TIME, nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False, unique=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now()),
    )


def downgrade() -> None:
    for table in ("versions", "cancellations", "jobs", "declarations"):
        op.drop_table(table)
    delivery.drop_tables_v1()
