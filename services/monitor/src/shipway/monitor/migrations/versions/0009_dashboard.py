"""What the dashboard keeps: who is signed in, dead letters, and indexes for what it shows."""

import sqlalchemy as sa
from alembic import op

from shipway.runtime.migrations import create_index_online

revision = "monitor0009"
down_revision = "monitor0008"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "dashboard_sessions",
        sa.Column("id_sha256", sa.LargeBinary, primary_key=True),
        sa.Column("token_sha256", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("broker_offset", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.LargeBinary, nullable=False),
        sa.Column("sent_again_at", _TIME),
        sa.Column("sent_again_by", sa.Text),
    )
    create_index_online("usage_by_minute", "usage", ["model", "minute"])
    create_index_online("events_by_version", "events", ["model", "version", "id"])


def downgrade() -> None:
    op.drop_index("events_by_version", "events")
    op.drop_index("usage_by_minute", "usage")
    for table in ("dead_letters", "dashboard_sessions"):
        op.drop_table(table)
