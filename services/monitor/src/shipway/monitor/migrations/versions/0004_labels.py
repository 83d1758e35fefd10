"""Labels are joined to their predictions: where each stands, what it counted for, and the sums by version and hour."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shipway.runtime.migrations import create_index_online

revision = "monitor0004"
down_revision = "monitor0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Indexes made online end the transaction: what comes before them may be there from an earlier try.
    op.add_column(
        "labels", sa.Column("due_at", _TIME, server_default=sa.func.now(), nullable=False), if_not_exists=True
    )
    op.add_column("labels", sa.Column("tries", sa.Integer, server_default="0", nullable=False), if_not_exists=True)
    op.add_column("labels", sa.Column("version", sa.Integer), if_not_exists=True)
    op.add_column("labels", sa.Column("predicted_at", _TIME), if_not_exists=True)
    op.add_column("labels", sa.Column("scores", sa.ARRAY(sa.Float)), if_not_exists=True)
    op.add_column("labels", sa.Column("counted", JSONB), if_not_exists=True)
    op.add_column("history_files", sa.Column("first_id", sa.Text), if_not_exists=True)
    op.add_column("history_files", sa.Column("last_id", sa.Text), if_not_exists=True)
    op.add_column("models", sa.Column("loss_scale", sa.Float), if_not_exists=True)
    op.create_table(
        "label_counts",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("what", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "quality",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("hour", _TIME, primary_key=True),
        sa.Column("sums", JSONB, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "quality_totals",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("sums", JSONB, nullable=False),
        sa.Column("predicted_from", _TIME, nullable=False),
        sa.Column("predicted_to", _TIME, nullable=False),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.Column("told_changes", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("told_at", _TIME),
        if_not_exists=True,
    )
    op.create_table(
        "label_files",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("changes", sa.BigInteger, nullable=False),
        sa.Column("written_changes", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("written_at", _TIME),
        sa.Column("rows", sa.BigInteger),
        sa.Column("bytes", sa.BigInteger),
        if_not_exists=True,
    )
    waiting = sa.text("counted is distinct from label")
    create_index_online("labels_due", "labels", ["model", "due_at"], postgresql_where=waiting)
    create_index_online("labels_by_time", "labels", ["model", "predicted_at"])


def downgrade() -> None:
    op.drop_index("labels_by_time", "labels")
    op.drop_index("labels_due", "labels")
    for table in ("label_files", "quality_totals", "quality", "label_counts"):
        op.drop_table(table)
    op.drop_column("models", "loss_scale")
    for column in ("last_id", "first_id"):
        op.drop_column("history_files", column)
    for column in ("counted", "scores", "predicted_at", "version", "tries", "due_at"):
        op.drop_column("labels", column)
