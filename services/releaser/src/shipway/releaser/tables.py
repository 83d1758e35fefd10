"""The releaser's tables: models with their desired state, versions with their roles, releases."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()

models = sa.Table(
    "models",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("desired", JSONB, nullable=False),
    sa.Column("published", JSONB),
    sa.Column("traceparent", sa.Text),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)

versions = sa.Table(
    "versions",
    metadata,
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

releases = sa.Table(
    "releases",
    metadata,
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
    # The rule of one release at a time, once more, where no bug gets past it.
    sa.Index("releases_in_progress", "model", unique=True, postgresql_where=sa.text("state in ('loading', 'canary')")),
)
