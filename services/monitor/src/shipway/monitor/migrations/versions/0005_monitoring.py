"""Windows of predictions, and what they were found to be."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "monitor0005"
down_revision = "monitor0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "reference_bins",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("bins", sa.LargeBinary),
        sa.Column("problem", sa.Text),
        sa.Column("made_at", _TIME, server_default=sa.func.now(), nullable=False),
    )
    op.create_table(
        "window_parts",
        sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("slot", _TIME, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "windows",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("begin", _TIME, primary_key=True),
        sa.Column("width_s", sa.Integer, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("late", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "watch_states",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("width_s", sa.Integer, nullable=False),
        sa.Column("watched_to", _TIME, nullable=False),
    )
    op.create_table(
        "findings",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("begin", _TIME, nullable=False),
        sa.Column("end", _TIME, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("alarm", sa.Boolean, nullable=False),
        sa.Column("figure", sa.Float),
        sa.Column("limit", sa.Float),
        sa.Column("p", sa.Float),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("recent", JSONB, nullable=False),
    )


def downgrade() -> None:
    for table in ("findings", "watch_states", "windows", "window_parts", "reference_bins"):
        op.drop_table(table)
