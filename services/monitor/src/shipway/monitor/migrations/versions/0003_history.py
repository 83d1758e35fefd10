"""The prediction history: batches that wait for a file, the files, and the signatures that name their columns."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "monitor0003"
down_revision = "monitor0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "signatures",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("signature", JSONB, nullable=False),
        sa.Column("prediction_log", JSONB, nullable=False),
    )
    op.execute(
        "insert into signatures select distinct on (model, version) model, version, payload -> 'signature', "
        "payload -> 'prediction_log' from events where type = 'shipway.ModelApproved.v1' order by model, version, id"
    )
    op.create_table(
        "history_staged",
        sa.Column("seq", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("decoded_bytes", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("staged_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("file_id", sa.BigInteger),
    )
    # It is compressed already.
    op.execute("alter table history_staged alter column data set storage external")
    op.create_index("history_staged_by_file", "history_staged", ["file_id"])
    op.create_table(
        "history_files",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("merged_into", sa.BigInteger),
        sa.Column("rows", sa.BigInteger),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("decoded_bytes", sa.BigInteger),
        sa.Column("sha256", sa.Text),
        sa.Column("first_at", _TIME),
        sa.Column("last_at", _TIME),
        sa.Column("created_at", _TIME, server_default=sa.func.now(), nullable=False),
        sa.Column("left_at", _TIME),
    )
    op.create_index("history_files_by_day", "history_files", ["model", "day"])
    unfinished = sa.text("state <> 'written'")
    op.create_index("history_files_unfinished", "history_files", ["id"], postgresql_where=unfinished)
    op.create_index("history_files_by_merge", "history_files", ["merged_into"])


def downgrade() -> None:
    for table in ("history_files", "history_staged", "signatures"):
        op.drop_table(table)
