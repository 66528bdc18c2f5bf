"""Tables of the images that lie in an object store, and of the objects that are to be erased there."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")  # as 0017 has it


def upgrade() -> None:
    op.create_table(
        "objects",
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("task", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "id", name="pk_objects"),
    )
    op.create_table(
        "erasures",
        sa.Column("tenant", _TEXT, nullable=False),
        sa.Column("path", _TEXT, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("certain", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "path", name="pk_erasures"),
    )
