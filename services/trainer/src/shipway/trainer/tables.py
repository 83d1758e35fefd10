"""The trainer's tables."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()
_time = sa.DateTime(timezone=True)

declarations = sa.Table(
    "declarations",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("spec", JSONB, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("declared_by", sa.Text, nullable=False),
    sa.Column("declared_at", _time, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("traceparent", sa.Text),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("until", _time),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("traceparent", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="queued"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("max_attempts", sa.Integer, nullable=False, server_default="3"),
    sa.Column("not_before", _time, nullable=False, server_default=sa.func.now()),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", _time),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("spec", JSONB),
    sa.Column("stage", sa.Text, nullable=False, server_default="queue"),
    sa.Column("fraction", sa.Double, nullable=False, server_default="0"),
    sa.Column("message", sa.Text, nullable=False, server_default=""),
    sa.Column("log_tail", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", _time, nullable=False, server_default=sa.func.now()),
    sa.Column("started_at", _time),
    sa.Column("ended_at", _time),
    sa.Column("origin", sa.Text, nullable=False, server_default="training"),
    sa.Column("asked", JSONB),
    sa.Index("jobs_open", "created_at", postgresql_where=sa.text("state in ('queued', 'running')")),
)

job_stages = sa.Table(
    "job_stages",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("retry_pause_s", sa.Double, nullable=False),
    sa.Column("not_before", _time),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", _time),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("key", sa.Text, nullable=False, server_default=""),
    sa.Column("told", JSONB),
    sa.Column("output", sa.Text, nullable=False, server_default=""),
    sa.Column("result", JSONB),
    sa.Column("reused", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("late", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("seconds", sa.Double),
    sa.Column("message", sa.Text, nullable=False, server_default=""),
    sa.Column("log_tail", sa.Text, nullable=False, server_default=""),
    sa.Column("started_at", _time),
    sa.Column("ended_at", _time),
)

stage_outputs = sa.Table(
    "stage_outputs",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("output", sa.Text, nullable=False),
    sa.Column("result", JSONB, nullable=False),
    sa.Column("made_at", _time, nullable=False, server_default=sa.func.now()),
    sa.Column("used_at", _time, nullable=False, server_default=sa.func.now()),
    sa.Index("stage_outputs_by_output", "model", "output"),
)

cancellations = sa.Table(
    "cancellations",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("requested_at", _time, nullable=False, server_default=sa.func.now()),
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("created_at", _time, nullable=False, server_default=sa.func.now()),
)
