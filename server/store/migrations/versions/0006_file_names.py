"""The file names of examples get a table of their own, so that no image is rewritten. Older examples have no file name."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "file_names",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("example", sa.String, nullable=False),
        sa.Column("name", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "example", name="pk_file_names"),
        sa.ForeignKeyConstraint(
            ["tenant", "task", "example"],
            ["examples.tenant", "examples.task", "examples.id"],
            name="fk_file_names_examples",
            ondelete="CASCADE",
        ),
    )
