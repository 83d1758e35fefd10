"""The releaser's first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shipway.runtime import delivery

revision = "releaser0001"
down_revision = None


def upgrade() -> None:
    delivery.create_tables_v1()
    op.create_table(
        "models",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("desired", JSONB, nullable=False),
        sa.Column("published", JSONB),
        sa.Column("traceparent", sa.Text),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "versions",
        sa.Column("model", sa.Text, sa.ForeignKey("models.model"), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("signature", JSONB, nullable=False),
        sa.Column("prediction_log", JSONB, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("degraded", sa.Text),
        sa.Column("retiring", sa.Text),
        sa.Column("deferred", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("routed_until", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("policy", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("step", sa.Integer, nullable=False, server_default="0"),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True)),
        sa.Column("evidence", JSONB, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("traceparent", sa.Text),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
        sa.UniqueConstraint("model", "version"),
    )
    op.create_index(
        "releases_in_progress",
        "releases",
        ["model"],
        unique=True,
        postgresql_where=sa.text("state in ('loading', 'canary')"),
    )


def downgrade() -> None:
    for table in ("releases", "versions", "models"):
        op.drop_table(table)
    delivery.drop_tables_v1()
