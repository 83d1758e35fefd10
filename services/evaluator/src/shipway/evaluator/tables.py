"""The evaluator's tables."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()
_time = sa.DateTime(timezone=True)

candidates = sa.Table(
    "candidates",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("traceparent", sa.Text),
    sa.Column("received_at", _time, nullable=False, server_default=sa.func.now()),
    sa.Column("judged", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", _time, nullable=False, server_default=sa.func.now()),
    sa.Column("waits_for", sa.Text, nullable=False, server_default=""),
    sa.Column("origin", sa.Text, nullable=False, server_default="training"),
    sa.Index("candidates_waiting", "received_at", postgresql_where=sa.text("not judged")),
)

verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("gates", JSONB, nullable=False),
    sa.Column("metrics", JSONB, nullable=False),
    sa.Column("champion_version", sa.Integer),
    sa.Column("champion_metrics", JSONB, nullable=False),
    sa.Column("judged_at", _time, nullable=False, server_default=sa.func.now()),
)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("command_id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("start_at", _time, nullable=False),
    sa.Column("end_at", _time, nullable=False),
    sa.Column("row_limit", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("traceparent", sa.Text),
    sa.Column("received_at", _time, nullable=False, server_default=sa.func.now()),
    sa.Column("crashes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", _time, nullable=False, server_default=sa.func.now()),
    sa.Column("waits_for", sa.Text, nullable=False, server_default=""),
    sa.Column("ended_at", _time),
    sa.Column("problem", sa.Text, nullable=False, server_default=""),
    sa.Index("replays_waiting", "received_at", postgresql_where=sa.text("ended_at is null")),
)

champions = sa.Table(
    "champions",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer),
    sa.Column("digest", sa.Text),
    sa.Column("generation", sa.BigInteger, nullable=False),
)
