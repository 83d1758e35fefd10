"""The prediction history: batches that wait, files that are there, and what is to be forgotten."""

import sqlalchemy as sa

from shipway.monitor.tables.base import TIME, metadata

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
    sa.Column("staged_at", TIME, server_default=sa.func.now(), nullable=False),
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
    sa.Column("first_at", TIME),
    sa.Column("last_at", TIME),
    sa.Column("created_at", TIME, server_default=sa.func.now(), nullable=False),
    sa.Column("left_at", TIME),
    # Its answered predictions' least and greatest id; null: not known, and so looked into for every label.
    sa.Column("first_id", sa.Text),
    sa.Column("last_id", sa.Text),
    # No record of the subjects of forgettings up to this number is in it.
    sa.Column("clear_of", sa.BigInteger, server_default="0", nullable=False),
    sa.Index("history_files_by_day", "model", "day"),
    sa.Index("history_files_unfinished", "id", postgresql_where=sa.text("state <> 'written'")),
    sa.Index("history_files_by_merge", "merged_into"),
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
    sa.Column("asked_at", TIME, nullable=False),
    sa.Column("records", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("labels", sa.BigInteger, server_default="0", nullable=False),
    sa.Column("first_at", TIME),
    sa.Column("last_at", TIME),
    sa.Column("answered_at", TIME),
)
