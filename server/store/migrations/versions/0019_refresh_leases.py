"""Leases of the servers that work on a refresh, and which of its tasks each has claimed."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "refresh_leases",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("refresh", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("able", sa.Boolean, nullable=False),
        sa.Column("embedded", sa.Integer, nullable=False),
        sa.Column("images_per_second", sa.Float, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "refresh", "id", name="pk_refresh_leases"),
    )
    op.add_column("refresh_tasks", sa.Column("lease", sa.String, nullable=True))
    op.create_index("ix_refreshes_state", "refreshes", ["state"])
