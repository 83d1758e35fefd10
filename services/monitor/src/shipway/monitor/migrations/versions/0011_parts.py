"""Labels by part of the traffic."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "monitor0011"
down_revision = "monitor0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("labels", sa.Column("parts", JSONB))
    op.create_table(
        "part_quality",
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("part", sa.Text, primary_key=True),
        sa.Column("labelled", sa.BigInteger, nullable=False),
        sa.Column("correct", sa.BigInteger, nullable=False),
        sa.Column("log_loss_sum", sa.Float, nullable=False),
        sa.Column("error_sum", sa.Float, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("part_quality")
    op.drop_column("labels", "parts")
