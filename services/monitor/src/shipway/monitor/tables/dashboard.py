"""What the dashboard keeps: who is signed in, and what services refused."""

import sqlalchemy as sa

from shipway.monitor.tables.base import TIME, metadata

# Who is signed in at the dashboard: by the hash of the cookie, so that no row opens anything.
dashboard_sessions = sa.Table(
    "dashboard_sessions",
    metadata,
    sa.Column("id_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("token_sha256", sa.LargeBinary, nullable=False),
    sa.Column("expires_at", TIME, nullable=False),
)

# What services refused, for as long as the broker keeps it; sent again by people.
dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("broker_offset", sa.BigInteger, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("at", TIME, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("value", sa.LargeBinary),
    sa.Column("headers", sa.LargeBinary, nullable=False),
    sa.Column("sent_again_at", TIME),
    sa.Column("sent_again_by", sa.Text),
)
