"""Embeddings leave the examples for a table of their own, where an example may have one of each of several backbones."""

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
    # In place: dropping the old table would, by the foreign key just made, drop the embeddings.
    op.drop_column("examples", "embedding")
    op.drop_column("examples", "backbone_sha256")
