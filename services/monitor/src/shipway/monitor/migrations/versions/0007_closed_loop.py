"""When labels were counted and what they were before, trainings asked for by what was found, subjects forgotten."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "monitor0007"
down_revision = "monitor0006"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("labels", sa.Column("settled_at", _TIME), if_not_exists=True)
    op.add_column("labels", sa.Column("earlier", JSONB), if_not_exists=True)
    op.add_column(
        "history_files", sa.Column("clear_of", sa.BigInteger, server_default="0", nullable=False), if_not_exists=True
    )
    op.create_table(
        "retrainings",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("episode", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "forgettings",
        sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("command_id", sa.Text, nullable=False, unique=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("records", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("labels", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("first_at", _TIME),
        sa.Column("last_at", _TIME),
        sa.Column("answered_at", _TIME),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("forgettings")
    op.drop_table("retrainings")
    op.drop_column("history_files", "clear_of")
    op.drop_column("labels", "earlier")
    op.drop_column("labels", "settled_at")
