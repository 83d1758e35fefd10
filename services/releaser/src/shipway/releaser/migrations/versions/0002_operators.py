"""What operators say (orders that wait, models frozen, releases on hold, versions pinned), and what labels say."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "releaser0002"
down_revision = "releaser0001"


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("command_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text),
    )
    op.add_column("models", sa.Column("frozen", JSONB))
    op.add_column("releases", sa.Column("hold", JSONB))
    op.add_column("versions", sa.Column("pinned", sa.Text))
    op.add_column("versions", sa.Column("quality", JSONB))
    asked = sa.Column("replacement_asked", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("versions", asked)


def downgrade() -> None:
    op.drop_column("versions", "replacement_asked")
    op.drop_column("versions", "quality")
    op.drop_column("versions", "pinned")
    op.drop_column("releases", "hold")
    op.drop_column("models", "frozen")
    op.drop_table("orders")
