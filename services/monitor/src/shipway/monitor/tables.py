"""The monitor's tables."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData()
_TIME = sa.DateTime(timezone=True)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("model", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("at", _TIME, nullable=False),
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
    sa.Column("declared_at", _TIME),
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
    sa.Column("changed_at", _TIME),
    sa.Column("promoted_at", _TIME),
    sa.Column("left_at", _TIME),
    sa.Column("last_used", _TIME),
    sa.Column("degraded_at", _TIME),
    sa.Column("retirement_asked_at", _TIME),
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
    sa.Column("changed_at", _TIME, nullable=False),
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),  # 0: no version was chosen yet
    sa.Column("minute", _TIME, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("latency_us_sum", sa.BigInteger, nullable=False),
    sa.Column("latency_us_max", sa.BigInteger, nullable=False),
    sa.Index("usage_by_minute", "model", "minute"),
)

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False, index=True),
    sa.Column("label", JSONB, nullable=False),
    sa.Column("observed_at", _TIME, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),  # 1, and one more for each that differed
    sa.Column("received_at", _TIME, server_default=sa.func.now(), nullable=False),
    # Until the label is counted: when it is looked at next, and how often its prediction was looked for.
    sa.Column("due_at", _TIME, server_default=sa.func.now(), nullable=False),
    sa.Column("tries", sa.Integer, server_default="0", nullable=False),
    # Of its prediction, once that is found; and the label that the sums of quality hold of it.
    sa.Column("version", sa.Integer),
    sa.Column("predicted_at", _TIME),
    sa.Column("scores", sa.ARRAY(sa.Float)),
    sa.Column("counted", JSONB),
    # When it was counted, and what was counted before it, as [{label, settled_at}], the oldest first.
    sa.Column("settled_at", _TIME),
    sa.Column("earlier", JSONB),
    sa.Index("labels_due", "model", "due_at", postgresql_where=sa.text("counted is distinct from label")),
    sa.Index("labels_by_time", "model", "predicted_at"),
)

label_counts = sa.Table(
    "label_counts",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("what", sa.Text, primary_key=True),  # received, doubled, conflicting, misdirected, late, orphan, ...
    sa.Column("count", sa.BigInteger, nullable=False),
)

# Sums over labelled answers (monitor.quality.Quality), by the hour of the prediction.
quality = sa.Table(
    "quality",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("hour", _TIME, primary_key=True),
    sa.Column("sums", JSONB, nullable=False),
)

quality_totals = sa.Table(
    "quality_totals",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("sums", JSONB, nullable=False),
    sa.Column("predicted_from", _TIME, nullable=False),
    sa.Column("predicted_to", _TIME, nullable=False),
    sa.Column("changes", sa.BigInteger, nullable=False),
    sa.Column("told_changes", sa.BigInteger, server_default="0", nullable=False),  # as of the last QualityMeasured
    sa.Column("told_at", _TIME),
)

# The days whose labels are an object of the store: written again while its changes are more than were written.
label_files = sa.Table(
    "label_files",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("changes", sa.BigInteger, nullable=False),
    sa.Column("written_changes", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("written_at", _TIME),
    sa.Column("rows", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
)

signatures = sa.Table(
    "signatures",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("signature", JSONB, nullable=False),
    sa.Column("prediction_log", JSONB, nullable=False),
)

# Batches of the prediction log, each of one model and day, that are in no file yet.
history_staged = sa.Table(
    "history_staged",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("decoded_bytes", sa.BigInteger, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("staged_at", _TIME, server_default=sa.func.now(), nullable=False),
    sa.Column("file_id", sa.BigInteger),  # the file that it goes into, once that is fixed
    sa.Index("history_staged_by_file", "file_id"),
)

# Every object of the prediction history, known here before it is there.
history_files = sa.Table(
    "history_files",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # planned, written, leaving, lost: see filing
    sa.Column("merged_into", sa.BigInteger),  # the file that is to replace it
    sa.Column("rows", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("decoded_bytes", sa.BigInteger),
    sa.Column("sha256", sa.Text),
    sa.Column("first_at", _TIME),
    sa.Column("last_at", _TIME),
    sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
    sa.Column("left_at", _TIME),
    # Its answered predictions' least and greatest id; null: not known, and so looked into for every label.
    sa.Column("first_id", sa.Text),
    sa.Column("last_id", sa.Text),
    # No record of the subjects of forgettings up to this number is in it.
    sa.Column("clear_of", sa.BigInteger, server_default="0", nullable=False),
    sa.Index("history_files_by_day", "model", "day"),
    sa.Index("history_files_unfinished", "id", postgresql_where=sa.text("state <> 'written'")),
    sa.Index("history_files_by_merge", "merged_into"),
)
# How a version's predictions are counted (monitor.bins.Bins); null with the problem where its bundle has no reference.
reference_bins = sa.Table(
    "reference_bins",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("bins", sa.LargeBinary),
    sa.Column("problem", sa.Text),
    sa.Column("made_at", _TIME, server_default=sa.func.now(), nullable=False),
)

# What a batch of the log adds to a minute (monitor.summary.Summary), until it is added to a window.
window_parts = sa.Table(
    "window_parts",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),  # 0: no version was chosen yet
    sa.Column("slot", _TIME, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("begin", _TIME, primary_key=True),
    sa.Column("width_s", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("late", sa.BigInteger, nullable=False),  # of them: those that came after the window was judged
    sa.Column("data", sa.LargeBinary, nullable=False),
)

# How far a model's windows are judged.
watch_states = sa.Table(
    "watch_states",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("width_s", sa.Integer, nullable=False),
    sa.Column("watched_to", _TIME, nullable=False),
)

# The newest judgement of each kind and subject; ``recent`` are the states before it, the oldest first.
findings = sa.Table(
    "findings",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),  # 0: of the whole model
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("begin", _TIME, nullable=False),
    sa.Column("end", _TIME, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("alarm", sa.Boolean, nullable=False),
    sa.Column("figure", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("p", sa.Float),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("recent", JSONB, nullable=False),
)
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
    sa.Column("raised_at", _TIME, nullable=False),
    sa.Column("changed_at", _TIME, nullable=False),
    sa.Column("ended_at", _TIME),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("quiet", sa.Integer, nullable=False),
    sa.Column("acked_by", sa.Text),
    sa.Column("acked_at", _TIME),
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
    sa.Column("told_at", _TIME),
    sa.Column("due_at", _TIME),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("problem", sa.Text),
)

silences = sa.Table(
    "silences",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("model", sa.Text),  # null: of every model
    sa.Column("kind", sa.Text),  # null: of every kind
    sa.Column("until", _TIME, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("made_at", _TIME, server_default=sa.func.now(), nullable=False),
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
    sa.Column("asked_at", _TIME, nullable=False),
)

# Subjects whose records go, and what went. ``subject`` is null once no record of theirs can come any more.
forgettings = sa.Table(
    "forgettings",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("command_id", sa.Text, nullable=False, unique=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("subject", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("asked_at", _TIME, nullable=False),
    sa.Column("records", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("labels", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("first_at", _TIME),
    sa.Column("last_at", _TIME),
    sa.Column("answered_at", _TIME),
)

# Who is signed in at the dashboard: by the hash of the cookie, so that no row opens anything.
dashboard_sessions = sa.Table(
    "dashboard_sessions",
    metadata,
    sa.Column("id_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("token_sha256", sa.LargeBinary, nullable=False),
    sa.Column("expires_at", _TIME, nullable=False),
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
    sa.Column("at", _TIME, nullable=False),
    sa.Column("key", sa.LargeBinary),
    sa.Column("value", sa.LargeBinary),
    sa.Column("headers", sa.LargeBinary, nullable=False),
    sa.Column("sent_again_at", _TIME),
    sa.Column("sent_again_by", sa.Text),
)
TABLES = (
    events,
    models,
    versions,
    requests,
    usage,
    labels,
    label_counts,
    quality,
    quality_totals,
    label_files,
    signatures,
    history_staged,
    history_files,
    reference_bins,
    window_parts,
    windows,
    watch_states,
    findings,
    alerts,
    notices,
    silences,
    retrainings,
    forgettings,
    dashboard_sessions,
    dead_letters,
)
