"""Leases of the servers that work on a refresh, and which of its tasks each has claimed."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")  # as 0017 has it


def upgrade() -> None:
    op.create_table(
        "refresh_leases",
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("refresh", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("able", sa.Boolean, nullable=False),
        sa.Column("embedded", sa.Integer, nullable=False),
        sa.Column("images_per_second", sa.Float, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "refresh", "id", name="pk_refresh_leases"),
    )
    op.add_column("refresh_tasks", sa.Column("lease", _TEXT, nullable=True))
    op.create_index("ix_refreshes_state", "refreshes", ["state"])
