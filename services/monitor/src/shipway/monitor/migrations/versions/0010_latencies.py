"""Latencies by version and slot, counted by part: percentiles over time."""

import sqlalchemy as sa
from alembic import op

revision = "monitor0010"
down_revision = "monitor0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "latencies",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("width_s", sa.Integer, primary_key=True),
        sa.Column("begin", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("counts", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("latencies")
