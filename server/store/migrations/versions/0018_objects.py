"""Tables of the images that lie in an object store, and of the objects that are to be erased there."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "objects",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "id", name="pk_objects"),
    )
    op.create_table(
        "erasures",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("certain", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "path", name="pk_erasures"),
    )
