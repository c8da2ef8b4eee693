"""Create every table, and the 64 engine partitions that the installation keeps for life."""

from __future__ import annotations

from alembic import op

from maestro_py.storage.tables import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    metadata.create_all(op.get_bind())
    op.execute("CREATE TABLE event_log_default PARTITION OF event_log DEFAULT")
    op.execute("INSERT INTO engine_partition (partition) SELECT generate_series(0, 63)")


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
