"""Windows of predictions: how they are counted, what they hold, and what was found in them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from shipway.monitor.tables.base import TIME, metadata

# How a version's predictions are counted (monitor.bins.Bins); null with the problem where its bundle has no reference.
reference_bins = sa.Table(
    "reference_bins",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("bins", sa.LargeBinary),
    sa.Column("problem", sa.Text),
    sa.Column("made_at", TIME, server_default=sa.func.now(), nullable=False),
)

# What a batch of the log adds to a minute (monitor.summary.Summary), until it is added to a window.
window_parts = sa.Table(
    "window_parts",
    metadata,
    sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),  # 0: no version was chosen yet
    sa.Column("slot", TIME, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("begin", TIME, primary_key=True),
    sa.Column("width_s", sa.Integer, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("late", sa.BigInteger, nullable=False),  # of them: those that came after the window was judged
    sa.Column("data", sa.LargeBinary, nullable=False),
)

# How long answers took (the parts of monitor.summary.Summary.latencies), in slots of several widths.
latencies = sa.Table(
    "latencies",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("width_s", sa.Integer, primary_key=True),
    sa.Column("begin", TIME, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("counts", sa.LargeBinary, nullable=False),
)

# How far a model's windows are judged.
watch_states = sa.Table(
    "watch_states",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("width_s", sa.Integer, nullable=False),
    sa.Column("watched_to", TIME, nullable=False),
    sa.Column("combined_to", sa.Date),  # the first day whose combinations are not judged; null: none was
)

# The combinations of values that a day's predictions had (monitor.combinations.Combined), until nobody looks back to
# them; and, once the day is judged, of how many rows how many had one that was new.
combination_days = sa.Table(
    "combination_days",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),  # the columns, comma-separated
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("data", sa.LargeBinary),
    sa.Column("new", sa.BigInteger),
    sa.Column("rows", sa.BigInteger),
)

# The newest judgement of each kind and subject; ``recent`` are the states before it, the oldest first.
findings = sa.Table(
    "findings",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),  # 0: of the whole model
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("begin", TIME, nullable=False),
    sa.Column("end", TIME, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("alarm", sa.Boolean, nullable=False),
    sa.Column("figure", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("p", sa.Float),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("recent", JSONB, nullable=False),
)
