"""Refreshes, which move tasks to another bundle, and the outcome for each task."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "refreshes",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("bundle", sa.String, nullable=False),
        sa.Column("max_drop", sa.Float, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("code", sa.String, nullable=True),
        sa.Column("detail", sa.String, nullable=True),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("updated_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_refreshes"),
    )
    op.create_table(
        "refresh_tasks",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("refresh", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("images", sa.Integer, nullable=False),
        sa.Column("version_before", sa.Integer, nullable=True),
        sa.Column("bundle_before", sa.String, nullable=True),
        sa.Column("backbone_before", sa.String, nullable=True),
        sa.Column("version_after", sa.Integer, nullable=True),
        sa.Column("version_returned", sa.Integer, nullable=True),
        sa.Column("judged_by", sa.String, nullable=True),
        sa.Column("judged", sa.Integer, nullable=True),
        sa.Column("accuracy_before", sa.Float, nullable=True),
        sa.Column("accuracy_after", sa.Float, nullable=True),
        sa.Column("code", sa.String, nullable=True),
        sa.Column("detail", sa.String, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "refresh", "task", name="pk_refresh_tasks"),
        sa.ForeignKeyConstraint(
            ["tenant", "refresh"], ["refreshes.tenant", "refreshes.id"], name="fk_refresh_tasks_refreshes", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_refresh_tasks_outcome", "refresh_tasks", ["tenant", "refresh", "outcome", "task"])
    op.create_index("ix_refresh_tasks_task", "refresh_tasks", ["tenant", "task"])
