"""Labels of rankings: the query of each, and how many of its best rows count."""

import sqlalchemy as sa
from alembic import op

from shipway.runtime.migrations import create_index_online

revision = "monitor0012"
down_revision = "monitor0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # An index made online ends the transaction: what comes before it may be there from an earlier try.
    op.add_column("labels", sa.Column("query", sa.Text), if_not_exists=True)
    op.add_column("labels", sa.Column("query_rows", sa.Integer), if_not_exists=True)
    op.add_column("signatures", sa.Column("ndcg_at", sa.Integer), if_not_exists=True)
    of_rankings = sa.text("query is not null")
    create_index_online("labels_by_query", "labels", ["model", "query"], postgresql_where=of_rankings)


def downgrade() -> None:
    op.drop_index("labels_by_query", "labels")
    op.drop_column("signatures", "ndcg_at")
    op.drop_column("labels", "query_rows")
    op.drop_column("labels", "query")
