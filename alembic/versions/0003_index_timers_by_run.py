"""
Index the timers by the run that they wake.

Whoever looks at a step that waits for its retry is told when it comes; without the index that reads all timers of the
run's partition.  Releases before this one are not disturbed by it.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Timers are set and fire meanwhile.
    with op.get_context().autocommit_block():
        # One that was interrupted leaves an index that is not valid, and has to be made again.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_engine_timer_run")
        op.create_index("ix_engine_timer_run", "engine_timer", ["partition", "run_uid"], postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index("ix_engine_timer_run", table_name="engine_timer")
