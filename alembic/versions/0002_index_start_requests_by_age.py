"""
Index the start requests by their age.

Every minute an engine looks for request ids that are remembered no longer; without the index it reads all of them, of
thirty days.  Releases before this one use it, too.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Starts go on meanwhile.
    with op.get_context().autocommit_block():
        # One that was interrupted leaves an index that is not valid, and has to be made again.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_start_request_create_time_ms")
        op.create_index(
            "ix_start_request_create_time_ms", "start_request", ["create_time_ms"], postgresql_concurrently=True
        )


def downgrade() -> None:
    op.drop_index("ix_start_request_create_time_ms", table_name="start_request")
