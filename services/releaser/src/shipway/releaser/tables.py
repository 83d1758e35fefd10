"""The releaser's tables: models with their desired state, versions with their roles, releases, operators' orders."""

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
    sa.Column("frozen", JSONB(none_as_null=True)),
    sa.Column("replacement_asked_at", sa.DateTime(timezone=True)),
    sa.Column("spent", JSONB(none_as_null=True)),  # by level: why no release goes on, and since when
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
    sa.Column("pinned", sa.Text),
    sa.Column("quality", JSONB(none_as_null=True)),
    sa.Column("replacement_asked", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("gone_at", sa.DateTime(timezone=True)),  # since when no instance is to hold it
    sa.Column("keep_bundle_s", sa.Float),  # once retired and gone; null: for ever
    sa.Column("bundle", sa.Text, nullable=False, server_default="kept"),
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
    sa.Column("hold", JSONB(none_as_null=True)),
    sa.Column("traceparent", sa.Text),
    sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.version"]),
    sa.UniqueConstraint("model", "version"),
    # The rule of one release at a time, once more, where no bug gets past it.
    sa.Index(
        "releases_under_way",
        "model",
        unique=True,
        postgresql_where=sa.text("state in ('loading', 'shadow', 'canary')"),
    ),
)

# Operators' commands that are neither obeyed nor refused yet.
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("command_id", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, sa.Identity(), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("traceparent", sa.Text),
)
