"""Alerts, who was told of them, and silences."""

import sqlalchemy as sa
from alembic import op

revision = "monitor0006"
down_revision = "monitor0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("figure", sa.Float),
        sa.Column("told_figure", sa.Float),
        sa.Column("limit", sa.Float),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("raised_at", _TIME, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.Column("changes", sa.Integer, nullable=False),
        sa.Column("quiet", sa.Integer, nullable=False),
        sa.Column("acked_by", sa.Text),
        sa.Column("acked_at", _TIME),
        sa.Column("ack_note", sa.Text),
    )
    key = ["model", "version", "kind", "subject"]
    op.create_index("alerts_open", "alerts", key, unique=True, postgresql_where=sa.text("ended_at is null"))
    op.create_table(
        "notices",
        sa.Column("alert_id", sa.Text, sa.ForeignKey("alerts.id", ondelete="cascade"), primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("told_changes", sa.Integer),
        sa.Column("told_at", _TIME),
        sa.Column("due_at", _TIME),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text),
    )
    op.create_table(
        "silences",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("model", sa.Text),
        sa.Column("kind", sa.Text),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("made_at", _TIME, server_default=sa.func.now(), nullable=False),
    )


def downgrade() -> None:
    for table in ("silences", "notices", "alerts"):
        op.drop_table(table)
