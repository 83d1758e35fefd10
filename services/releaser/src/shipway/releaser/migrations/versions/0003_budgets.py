"""Error budgets that are spent, and hold releases."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "releaser0003"
down_revision = "releaser0002"


def upgrade() -> None:
    op.add_column("models", sa.Column("spent", JSONB))


def downgrade() -> None:
    op.drop_column("models", "spent")
