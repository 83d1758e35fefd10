"""A job's stages, what stages gave, where a job came from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "trainer0002"
down_revision = "trainer0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("origin", sa.Text, nullable=False, server_default="training"))
    op.add_column("jobs", sa.Column("asked", JSONB))
    op.create_table(
        "job_stages",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("stage", sa.Text, primary_key=True),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="waiting"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("retry_pause_s", sa.Double, nullable=False),
        sa.Column("not_before", _TIME),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", _TIME),
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
        sa.Column("started_at", _TIME),
        sa.Column("ended_at", _TIME),
    )
    op.create_table(
        "stage_outputs",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("result", JSONB, nullable=False),
        sa.Column("made_at", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("used_at", _TIME, nullable=False, server_default=sa.func.now()),
    )
    op.create_index("stage_outputs_by_output", "stage_outputs", ["model", "output"])


def downgrade() -> None:
    # The release before holds a whole job at a time: what is between two stages begins anew.
    op.execute("update jobs set state = 'queued', lease_until = null where state = 'running' and owner is null")
    op.drop_table("stage_outputs")
    op.drop_table("job_stages")
    op.drop_column("jobs", "asked")
    op.drop_column("jobs", "origin")
