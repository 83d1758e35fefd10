"""Labels, what became of them, and the sums of quality that they make."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from shipway.monitor.tables.base import TIME, metadata

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("prediction_id", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, nullable=False, index=True),
    sa.Column("label", JSONB, nullable=False),
    sa.Column("observed_at", TIME, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),  # 1, and one more for each that differed
    sa.Column("received_at", TIME, server_default=sa.func.now(), nullable=False),
    # Until the label is counted: when it is looked at next, and how often its prediction was looked for.
    sa.Column("due_at", TIME, server_default=sa.func.now(), nullable=False),
    sa.Column("tries", sa.Integer, server_default="0", nullable=False),
    # Of its prediction, once that is found; and the label that the sums of quality hold of it.
    sa.Column("version", sa.Integer),
    sa.Column("predicted_at", TIME),
    sa.Column("scores", sa.ARRAY(sa.Float)),
    sa.Column("counted", JSONB),
    # When it was counted, and what was counted before it, as [{label, settled_at}], the oldest first.
    sa.Column("settled_at", TIME),
    sa.Column("earlier", JSONB),
    sa.Column("parts", JSONB),  # of the traffic, that its prediction is in; null where they are not counted
    # Of a ranking: the query that its prediction was of, by a hash, and how many rows that has.
    sa.Column("query", sa.Text),
    sa.Column("query_rows", sa.Integer),
    sa.Index("labels_due", "model", "due_at", postgresql_where=sa.text("counted is distinct from label")),
    sa.Index("labels_by_time", "model", "predicted_at"),
    sa.Index("labels_by_query", "model", "query", postgresql_where=sa.text("query is not null")),
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
    sa.Column("hour", TIME, primary_key=True),
    sa.Column("sums", JSONB, nullable=False),
)

# Sums over labelled answers by the hour of the prediction and the part of the traffic ("": all that have parts).
part_quality = sa.Table(
    "part_quality",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("hour", TIME, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("labelled", sa.BigInteger, nullable=False),
    sa.Column("correct", sa.BigInteger, nullable=False),
    sa.Column("log_loss_sum", sa.Float, nullable=False),
    sa.Column("error_sum", sa.Float, nullable=False),
)

quality_totals = sa.Table(
    "quality_totals",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("sums", JSONB, nullable=False),
    sa.Column("predicted_from", TIME, nullable=False),
    sa.Column("predicted_to", TIME, nullable=False),
    sa.Column("changes", sa.BigInteger, nullable=False),
    sa.Column("told_changes", sa.BigInteger, server_default="0", nullable=False),  # as of the last QualityMeasured
    sa.Column("told_at", TIME),
)

# The days whose labels are an object of the store: written again while its changes are more than were written.
label_files = sa.Table(
    "label_files",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("changes", sa.BigInteger, nullable=False),
    sa.Column("written_changes", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("written_at", TIME),
    sa.Column("rows", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
)
