"""The monitor's first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shipway.runtime import delivery

revision = "monitor0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    delivery.create_tables_v1()
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("version", sa.Integer),
        sa.Column("at", time, nullable=False),
        sa.Column("trace_id", sa.Text),
        sa.Column("payload", JSONB, nullable=False),
    )
    op.create_index("events_by_model", "events", ["model", "id"])
    op.create_index("events_by_trace", "events", ["trace_id"])
    op.create_table(
        "models",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("spec", JSONB),
        sa.Column("champion", sa.Integer),
        sa.Column("last_good", sa.Integer),
        sa.Column("declared_at", time),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", sa.Text),
        sa.Column("digest", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("training_rows", sa.BigInteger),
        sa.Column("training_metrics", JSONB),
        sa.Column("metrics", JSONB),
        sa.Column("gates", JSONB),
        sa.Column("champion_version", sa.Integer),
        sa.Column("champion_metrics", JSONB),
        sa.Column("share", sa.Float),
        sa.Column("reason", sa.Text),
        sa.Column("changed_at", time),
        sa.Column("promoted_at", time),
        sa.Column("left_at", time),
        sa.Column("last_used", time),
        sa.Column("degraded_at", time),
        sa.Column("retirement_asked_at", time),
    )
    op.create_table(
        "requests",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("stage", sa.Text),
        sa.Column("fraction", sa.Float),
        sa.Column("message", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("version", sa.Integer),
        sa.Column("changed_at", time, nullable=False),
    )
    op.create_table(
        "usage",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("minute", time, primary_key=True),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("latency_us_sum", sa.BigInteger, nullable=False),
        sa.Column("latency_us_max", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "labels",
        sa.Column("prediction_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False, index=True),
        sa.Column("label", JSONB, nullable=False),
        sa.Column("observed_at", time, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for table in ("labels", "usage", "requests", "versions", "models", "events"):
        op.drop_table(table)
    delivery.drop_tables_v1()
