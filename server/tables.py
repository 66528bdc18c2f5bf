"""The schema, as the store's statements see it. `server.migrations` creates it; a test holds the two together.

Every table begins its primary key with the tenant. Large columns come last: SQLite reads a row from the front and keeps what
does not fit a page in a chain of further pages, so an embedding is read without its image and a version without its head.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in UTC, on databases that keep time zones and on those that drop them."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    Column("tenant", String, nullable=False),
    Column("id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("active_version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("tenant", "id", name="pk_tasks"),
)

versions = Table(
    "versions",
    metadata,
    Column("tenant", String, nullable=False),
    Column("task", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("change", String, nullable=False),
    Column("bundle", String, nullable=False),
    Column("backbone_sha256", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("options", JSON, nullable=False),
    Column("classes", JSON, nullable=False),  # [[label, examples], …] in the order of the head's labels
    Column("examples", JSON, nullable=False),  # the ids of the support set, in the order in which they were added
    Column("head", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "task", "number", name="pk_versions"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.id"], name="fk_versions_tasks", ondelete="CASCADE"),
)

# An example outlives the versions that use it: every version can be returned to, so only its task's end removes it.
examples = Table(
    "examples",
    metadata,
    Column("tenant", String, nullable=False),
    Column("task", String, nullable=False),
    Column("id", String, nullable=False),
    Column("label", String, nullable=False),
    Column("media_type", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("backbone_sha256", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("embedding", LargeBinary, nullable=False),  # float32, little-endian
    Column("image", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "task", "id", name="pk_examples"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.id"], name="fk_examples_tasks", ondelete="CASCADE"),
)

# Not tied to the task it answered with: a retry gets the first answer even when the task has been deleted since.
replays = Table(
    "replays",
    metadata,
    Column("tenant", String, nullable=False),
    Column("key", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("location", String, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "key", name="pk_replays"),
    Index("ix_replays_created_at", "tenant", "created_at"),
)
