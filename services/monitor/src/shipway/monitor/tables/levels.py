"""Service levels: phases with their begin and end, counts of requests, budgets, what was sighted when."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from shipway.monitor.tables.base import TIME, metadata

# One run of a phase (monitor.phases): of a training request, or of a version. Its begin and its end come in events,
# in any order.
phases = sa.Table(
    "phases",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("phase", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),  # the request's id, or the version
    sa.Column("begun_at", TIME),
    sa.Column("ended_at", TIME),
    sa.Column("outcome", sa.Text, server_default="", nullable=False),  # "failed"; "void", "never": it does not count
    sa.Column("generation", sa.BigInteger),  # of the desired state that is to be seen
    sa.Column("retried_at", TIME),
)

# Requests, and records of the log, that kept a level or missed it, by five minutes of the prediction.
level_counts = sa.Table(
    "level_counts",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("level", sa.Text, primary_key=True),
    sa.Column("slot", TIME, primary_key=True),
    sa.Column("good", sa.BigInteger, nullable=False),
    sa.Column("bad", sa.BigInteger, nullable=False),
)

# Which budgets of a model were told to be spent, and whether they hold releases; when it was looked at last.
level_states = sa.Table(
    "level_states",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("spent", JSONB, server_default="{}", nullable=False),
    sa.Column("looked_at", TIME, nullable=False),
)

# What is counted over all models: starts of instances, and where topics of dead letters ended at a moment.
sightings = sa.Table(
    "sightings",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("at", TIME, primary_key=True),
    sa.Column("value", sa.BigInteger, server_default="0", nullable=False),
)
