"""A table of events tells what happens to tasks. It holds ids and numbers only."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer, nullable=True),
        sa.Column("version_before", sa.Integer, nullable=True),
        sa.Column("change", sa.String, nullable=True),
        sa.Column("accuracy", sa.Float, nullable=True),
        sa.Column("accuracy_before", sa.Float, nullable=True),
        sa.Column("captures", sa.Integer, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "ordinal", name="pk_events"),
    )
