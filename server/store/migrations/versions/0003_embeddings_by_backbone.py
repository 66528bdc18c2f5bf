"""Embeddings move from the examples to a table of their own. There an example may have one embedding by each backbone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "embeddings",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("example", sa.String, nullable=False),
        sa.Column("backbone_sha256", sa.String, nullable=False),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "example", "backbone_sha256", name="pk_embeddings"),
        sa.ForeignKeyConstraint(
            ["tenant", "task", "example"],
            ["examples.tenant", "examples.task", "examples.id"],
            name="fk_embeddings_examples",
            ondelete="CASCADE",
        ),
    )
    op.execute("INSERT INTO embeddings SELECT tenant, task, id, backbone_sha256, embedding FROM examples")
    # In place: by the foreign key just made, dropping the old table would delete the embeddings.
    op.drop_column("examples", "embedding")
    op.drop_column("examples", "backbone_sha256")
