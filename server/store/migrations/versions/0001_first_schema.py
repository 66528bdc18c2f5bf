"""The first schema: tasks, their versions and examples, and the answers kept for idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("active_version", sa.Integer, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("updated_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_tasks"),
    )
    _create_versions()
    _create_examples()
    op.create_table(
        "replays",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("location", sa.String, nullable=True),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name="pk_replays"),
    )
    op.create_index("ix_replays_created_at", "replays", ["tenant", "created_at"])


def _create_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("change", sa.String, nullable=False),
        sa.Column("bundle", sa.String, nullable=False),
        sa.Column("backbone_sha256", sa.String, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("classes", sa.JSON, nullable=False),
        sa.Column("examples", sa.JSON, nullable=False),
        sa.Column("head", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "number", name="pk_versions"),
        sa.ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.id"], name="fk_versions_tasks", ondelete="CASCADE"),
    )


def _create_examples() -> None:
    op.create_table(
        "examples",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("backbone_sha256", sa.String, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.Column("image", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "task", "id", name="pk_examples"),
        sa.ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.id"], name="fk_examples_tasks", ondelete="CASCADE"),
    )
