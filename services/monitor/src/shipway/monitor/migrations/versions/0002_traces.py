"""Versions keep their trace, the history holds an event once, labels say when they came."""

import sqlalchemy as sa
from alembic import op

revision = "monitor0002"
down_revision = "monitor0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("traceparent", sa.Text))
    received = sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
    op.add_column("labels", received)
    op.create_index("events_once", "events", ["source", "event_id"], unique=True)
    op.create_index("events_by_type", "events", ["type", "id"])
    op.create_index(
        "events_of_progress",
        "events",
        [sa.text("(payload ->> 'request_id')")],
        postgresql_where=sa.text("type = 'shipway.TrainingProgressed.v1'"),
    )


def downgrade() -> None:
    for index in ("events_of_progress", "events_by_type", "events_once"):
        op.drop_index(index, "events")
    op.drop_column("labels", "received_at")
    op.drop_column("versions", "traceparent")
