"""A task may let an image have any number of labels. They have a table of their own: to read a column behind the image, SQLite
would read the whole image.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("labels", sa.String, nullable=False, server_default="single"))
    op.create_table(
        "label_sets",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("example", sa.String, nullable=False),
        sa.Column("labels", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "example", name="pk_label_sets"),
        sa.ForeignKeyConstraint(
            ["tenant", "task", "example"],
            ["examples.tenant", "examples.task", "examples.id"],
            name="fk_label_sets_examples",
            ondelete="CASCADE",
        ),
    )
