"""What made a version: a training, a parameter search, an import."""

import sqlalchemy as sa
from alembic import op

revision = "evaluator0002"
down_revision = "evaluator0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidates", sa.Column("origin", sa.Text, nullable=False, server_default="training"))


def downgrade() -> None:
    op.drop_column("candidates", "origin")
