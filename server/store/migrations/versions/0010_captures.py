"""Predictions may be captured. Images get a table of their own, so that a task's captures are read without them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("capture", sa.JSON, nullable=True))
    op.create_table(
        "captures",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("backbone_sha256", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String, nullable=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "id", name="pk_captures"),
        sa.ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.id"], name="fk_captures_tasks", ondelete="CASCADE"),
    )
    op.create_index("ix_captures_ordinal", "captures", ["tenant", "task", "ordinal", "created_at", "id"])
    op.create_table(
        "capture_images",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("capture", sa.String, nullable=False),
        sa.Column("image", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "capture", name="pk_capture_images"),
        sa.ForeignKeyConstraint(
            ["tenant", "task", "capture"],
            ["captures.tenant", "captures.task", "captures.id"],
            name="fk_capture_images_captures",
            ondelete="CASCADE",
        ),
    )
