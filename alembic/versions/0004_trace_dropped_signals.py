"""
Remember of a signal trigger which signals started nothing, and that somebody evaluates what the next one starts.

Both columns are null for triggers of before, and unknown to processes of before, which lose nothing by it: a claim only
spares others the same work.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "signal_trigger",
        sa.Column(
            "claimed_until",
            sa.DateTime(timezone=True),
            comment="until then somebody evaluates what the next signal starts",
        ),
    )
    op.add_column(
        "signal_trigger",
        sa.Column("drops", sa.JSON, comment="signals that matched and started nothing: how many, and the latest"),
    )


def downgrade() -> None:
    op.drop_column("signal_trigger", "drops")
    op.drop_column("signal_trigger", "claimed_until")
