"""Alerts, who was told of them, silences, and the trainings that they asked for."""

import sqlalchemy as sa

from shipway.monitor.tables.base import TIME, metadata

# One open alert of each model, version, kind and subject. ``changes`` counts what is to be told of it.
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("figure", sa.Float),
    sa.Column("told_figure", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("raised_at", TIME, nullable=False),
    sa.Column("changed_at", TIME, nullable=False),
    sa.Column("ended_at", TIME),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("quiet", sa.Integer, nullable=False),
    sa.Column("acked_by", sa.Text),
    sa.Column("acked_at", TIME),
    sa.Column("ack_note", sa.Text),
    sa.Index(
        "alerts_open",
        "model",
        "version",
        "kind",
        "subject",
        unique=True,
        postgresql_where=sa.text("ended_at is null"),
    ),
)

# Which of an alert's changes a target (webhook, alertmanager) was told.
notices = sa.Table(
    "notices",
    metadata,
    sa.Column("alert_id", sa.Text, sa.ForeignKey("alerts.id", ondelete="cascade"), primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("told_changes", sa.Integer),
    sa.Column("told_at", TIME),
    sa.Column("due_at", TIME),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("problem", sa.Text),
)

silences = sa.Table(
    "silences",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("model", sa.Text),  # null: of every model
    sa.Column("kind", sa.Text),  # null: of every kind
    sa.Column("until", TIME, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("made_at", TIME, server_default=sa.func.now(), nullable=False),
)

# Trainings that were asked for because of what was found: an alert is an episode, each attempt at it a request.
retrainings = sa.Table(
    "retrainings",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("episode", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("asked_at", TIME, nullable=False),
)
