"""Replays of logged predictions, asked for by a command."""

import sqlalchemy as sa
from alembic import op

revision = "evaluator0003"
down_revision = "evaluator0002"
branch_labels = None
depends_on = None
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "replays",
        sa.Column("command_id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("start_at", _TIME, nullable=False),
        sa.Column("end_at", _TIME, nullable=False),
        sa.Column("row_limit", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("received_at", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_before", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("waits_for", sa.Text, nullable=False, server_default=""),
        sa.Column("ended_at", _TIME),
        sa.Column("problem", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("replays_waiting", "replays", ["received_at"], postgresql_where=sa.text("ended_at is null"))


def downgrade() -> None:
    op.drop_table("replays")
