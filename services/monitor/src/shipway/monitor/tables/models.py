"""Models, versions and training requests as events tell of them; the events themselves; how predictions ended."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from shipway.monitor.tables.base import TIME, metadata

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("at", TIME, nullable=False),
    sa.Column("trace_id", sa.Text),
    sa.Column("payload", JSONB, nullable=False),
    sa.Index("events_by_model", "model", "id"),
    sa.Index("events_by_version", "model", "version", "id"),
    sa.Index("events_by_trace", "trace_id"),
    sa.Index("events_by_type", "type", "id"),
    sa.Index("events_once", "source", "event_id", unique=True),
    sa.Index(
        "events_of_progress",
        sa.text("(payload ->> 'request_id')"),
        postgresql_where=sa.text("type = 'shipway.TrainingProgressed.v1'"),
    ),
)

models = sa.Table(
    "models",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("spec", JSONB),
    sa.Column("champion", sa.Integer),
    sa.Column("last_good", sa.Integer),
    sa.Column("declared_at", TIME),
    sa.Column("loss_scale", sa.Float),  # of regression: the error that is a loss of 1, the same for all versions
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text),
    sa.Column("digest", sa.Text),
    sa.Column("request_id", sa.Text),
    sa.Column("training_rows", sa.BigInteger),
    sa.Column("training_metrics", JSONB),
    sa.Column("metrics", JSONB),
    sa.Column("gates", JSONB),
    sa.Column("champion_version", sa.Integer),
    sa.Column("champion_metrics", JSONB),
    sa.Column("share", sa.Float),
    sa.Column("reason", sa.Text),
    sa.Column("changed_at", TIME),
    sa.Column("promoted_at", TIME),
    sa.Column("left_at", TIME),
    sa.Column("last_used", TIME),
    sa.Column("degraded_at", TIME),
    sa.Column("retirement_asked_at", TIME),
    sa.Column("traceparent", sa.Text),
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("stage", sa.Text),
    sa.Column("fraction", sa.Float),
    sa.Column("message", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("changed_at", TIME, nullable=False),
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),  # 0: no version was chosen yet
    sa.Column("minute", TIME, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("latency_us_sum", sa.BigInteger, nullable=False),
    sa.Column("latency_us_max", sa.BigInteger, nullable=False),
    sa.Index("usage_by_minute", "model", "minute"),
)

signatures = sa.Table(
    "signatures",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("signature", JSONB, nullable=False),
    sa.Column("prediction_log", JSONB, nullable=False),
    sa.Column("ndcg_at", sa.Integer),  # of a ranking, as it was judged
)
