"""Delivery tables, candidates, verdicts, champions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shipway.runtime import delivery

revision = "evaluator0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    delivery.create_tables_v1()
    op.create_table(
        "candidates",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("received_at", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("judged", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_before", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("waits_for", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("candidates_waiting", "candidates", ["received_at"], postgresql_where=sa.text("not judged"))
    op.create_table(
        "verdicts",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("gates", JSONB, nullable=False),
        sa.Column("metrics", JSONB, nullable=False),
        sa.Column("champion_version", sa.Integer),
        sa.Column("champion_metrics", JSONB, nullable=False),
        sa.Column("judged_at", _TIME, nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "champions",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer),
        sa.Column("digest", sa.Text),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("champions", "verdicts", "candidates"):
        op.drop_table(table)
    delivery.drop_tables_v1()
