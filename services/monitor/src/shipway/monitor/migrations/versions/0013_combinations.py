"""Combinations of values by day."""

import sqlalchemy as sa
from alembic import op

revision = "monitor0013"
down_revision = "monitor0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("watch_states", sa.Column("combined_to", sa.Date))
    op.create_table(
        "combination_days",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("data", sa.LargeBinary),
        sa.Column("new", sa.BigInteger),
        sa.Column("rows", sa.BigInteger),
    )


def downgrade() -> None:
    op.drop_table("combination_days")
    op.drop_column("watch_states", "combined_to")
