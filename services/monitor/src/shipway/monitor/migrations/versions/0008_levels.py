"""Service levels: phases with their begin and end, counts of requests, budgets, what was sighted when."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "monitor0008"
down_revision = "monitor0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "phases",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("phase", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("begun_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.Column("outcome", sa.Text, server_default="", nullable=False),
        sa.Column("generation", sa.BigInteger),
        sa.Column("retried_at", _TIME),
    )
    op.create_table(
        "level_counts",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("level", sa.Text, primary_key=True),
        sa.Column("slot", _TIME, primary_key=True),
        sa.Column("good", sa.BigInteger, nullable=False),
        sa.Column("bad", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "level_states",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("spent", JSONB, server_default="{}", nullable=False),
        sa.Column("looked_at", _TIME, nullable=False),
    )
    op.create_table(
        "sightings",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("at", _TIME, primary_key=True),
        sa.Column("value", sa.BigInteger, server_default="0", nullable=False),
    )


def downgrade() -> None:
    for table in ("sightings", "level_states", "level_counts", "phases"):
        op.drop_table(table)
