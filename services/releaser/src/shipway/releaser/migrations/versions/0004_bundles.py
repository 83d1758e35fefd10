"""Bundles that are removed after retirement, pauses between replacements, and one release under way, shadows too."""

import sqlalchemy as sa
from alembic import op

from shipway.runtime.migrations import create_index_online

revision = "releaser0004"
down_revision = "releaser0003"


def upgrade() -> None:
    op.add_column("models", sa.Column("replacement_asked_at", sa.DateTime(timezone=True)))
    op.add_column("versions", sa.Column("gone_at", sa.DateTime(timezone=True)))
    op.add_column("versions", sa.Column("keep_bundle_s", sa.Float))
    op.add_column("versions", sa.Column("bundle", sa.Text, nullable=False, server_default="kept"))
    where = sa.text("state in ('loading', 'shadow', 'canary')")
    create_index_online("releases_under_way", "releases", ["model"], unique=True, postgresql_where=where)
    op.drop_index("releases_in_progress", "releases")


def downgrade() -> None:
    where = sa.text("state in ('loading', 'canary')")
    create_index_online("releases_in_progress", "releases", ["model"], unique=True, postgresql_where=where)
    op.drop_index("releases_under_way", "releases")
    for column in ("bundle", "keep_bundle_s", "gone_at"):
        op.drop_column("versions", column)
    op.drop_column("models", "replacement_asked_at")
