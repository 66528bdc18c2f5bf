"""The schema, as the store's statements see it. `server.store.migrations` creates it; a test compares the two.

The primary key of every table begins with the tenant, but for the audit and what servers tell each other. Large columns come
last. SQLite reads a row from the front and keeps what does not fit a page in a chain of further pages. So an example is read
without its image, and a version without its head.
Every value that is computed from somebody's image is an `ErasableBlob`.

Texts are compared byte by byte, as in Python: on PostgreSQL `server.store.schema` gives their columns the collation "C".
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
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
    func,
    literal,
    literal_column,
    text,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in UTC, both on databases that keep time zones and on those that drop them."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _WithoutNul(TypeDecorator[str]):
    """Texts for PostgreSQL, which has none with NUL. Ours have none either, so one that is looked for is only not found."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return value and value.replace("\0", "\N{REPLACEMENT CHARACTER}")


Characters = String().with_variant(_WithoutNul(), "postgresql")

PAGE_SIZE = 4096  # bytes, of every database that this release makes
_OVERFLOW = PAGE_SIZE - 4  # bytes of a row's content that one page of its chain holds
_IN_TREE = 489  # most bytes of a row that stay in the tree, if the rest fills whole pages: (PAGE_SIZE - 12) * 32 // 255 - 23


class ErasableBlob(TypeDecorator[bytes]):
    """Bytes that leave the file when their row is deleted, on a SQLite that zeroes what it deletes.

    SQLite keeps the front of a row in a page of the table's tree. When it merges such pages, it copies rows between them. The
    bytes may stay where the row was before: `secure_delete` does not see them, and they outlive the row. The rest of a row is
    in pages of its own, which are never copied, and are zeroed when the row is deleted.

    So 489 bytes come before the value: its length in decimal, then zeros. Zeros follow it, so that it fills whole pages of its
    own. Then only the columns before the value, or those 489 bytes, stay in the tree (SQLite's file format, "B-tree cells").
    """

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        if value is None or dialect.name != "sqlite":
            return value
        size = _IN_TREE + len(value)
        return str(len(value)).encode().ljust(_IN_TREE, b"\0") + value + bytes(-size % _OVERFLOW)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> bytes | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value[_IN_TREE : _IN_TREE + int(value[:_IN_TREE].rstrip(b"\0"))]


class part_of(FunctionElement[bytes]):
    """`size` bytes of the values of an `ErasableBlob` from the byte `start` on, for who reads many and needs no more."""

    type = LargeBinary()
    inherit_cache = True

    def __init__(self, column: Column[bytes], start: int, size: int) -> None:
        super().__init__(type_coerce(column, LargeBinary), literal(start + 1), literal(size))


@compiles(part_of)
def _compile_part(element: part_of, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, first, size = element.clauses
    before = _IN_TREE if compiler.dialect.name == "sqlite" else 0
    return compiler.process(func.substr(column, first + before, size), **kwargs)


XMIN = literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", BigInteger)
"""On PostgreSQL, the id of the earliest transaction that has not ended."""

XMAX = literal_column("pg_snapshot_xmax(pg_current_snapshot())::text::bigint", BigInteger)
"""On PostgreSQL, an id that is greater than that of each transaction that has ended."""

metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("id", Characters, nullable=False),
    Column("name", Characters, nullable=False),
    Column("active_version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("last_version", Integer, nullable=False, server_default="0"),  # the highest number given: none is given twice
    Column("ordinal", Integer, nullable=False, server_default="0"),  # in the order of creation, whatever the clock said then
    Column("capture", JSON, nullable=True),  # the fields of a CaptureSetting; NULL where nobody set one
    Column("labels", Characters, nullable=False, server_default="single"),  # of an image: `single`, or `multiple` for any number
    Column("forgettings", Integer, nullable=False, server_default="0"),  # how often something of it was forgotten
    PrimaryKeyConstraint("tenant", "id", name="pk_tasks"),
    Index("ix_tasks_ordinal", "tenant", "ordinal", "id"),
)

versions = Table(
    "versions",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("number", Integer, nullable=False),
    Column("change", Characters, nullable=False),
    Column("bundle", Characters, nullable=False),
    Column("backbone_sha256", Characters, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("options", JSON, nullable=False),
    Column("classes", JSON, nullable=False),  # [[label, examples], …] as the head's labels; [null, n] last for n without a class
    Column("examples", JSON, nullable=False),  # the ids of the support set, in the order in which they were added
    Column("accuracy", JSON(none_as_null=True), nullable=True),  # [share, low, high]
    Column("head", ErasableBlob, nullable=False),
    PrimaryKeyConstraint("tenant", "task", "number", name="pk_versions"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.id"], name="fk_versions_tasks", ondelete="CASCADE"),
)

# An example stays until it is forgotten or its task is deleted, since every version can be made active again.
examples = Table(
    "examples",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("id", Characters, nullable=False),
    Column("label", Characters, nullable=True),  # NULL where it is of none of the classes, or has a row in `label_sets`
    Column("media_type", Characters, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", Characters, nullable=True),  # like the image, NULL where the server keeps none
    Column("created_at", UtcDateTime, nullable=False),
    Column("image", ErasableBlob, nullable=True),
    PrimaryKeyConstraint("tenant", "task", "id", name="pk_examples"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.id"], name="fk_examples_tasks", ondelete="CASCADE"),
)

# The name of an example's file, if its sender gave it. It may name somebody, so it is as erasable as the image.
# It has a table of its own: to read a column behind the image, SQLite would read the whole image.
file_names = Table(
    "file_names",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("example", Characters, nullable=False),
    Column("name", ErasableBlob, nullable=False),  # UTF-8
    PrimaryKeyConstraint("tenant", "task", "example", name="pk_file_names"),
    ForeignKeyConstraint(
        ["tenant", "task", "example"],
        ["examples.tenant", "examples.task", "examples.id"],
        name="fk_file_names_examples",
        ondelete="CASCADE",
    ),
)

# The labels of an example of a task with several labels an image, which may be none of them. A table of its own, like the names.
label_sets = Table(
    "label_sets",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("example", Characters, nullable=False),
    Column("labels", ErasableBlob, nullable=False),  # a list, JSON
    PrimaryKeyConstraint("tenant", "task", "example", name="pk_label_sets"),
    ForeignKeyConstraint(
        ["tenant", "task", "example"],
        ["examples.tenant", "examples.task", "examples.id"],
        name="fk_label_sets_examples",
        ondelete="CASCADE",
    ),
)

# An example has an embedding by the backbone of every version that uses it. So a version can be made active without its images.
embeddings = Table(
    "embeddings",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("example", Characters, nullable=False),
    Column("backbone_sha256", Characters, nullable=False),
    Column("embedding", ErasableBlob, nullable=False),  # float32, little-endian
    PrimaryKeyConstraint("tenant", "task", "example", "backbone_sha256", name="pk_embeddings"),
    ForeignKeyConstraint(
        ["tenant", "task", "example"],
        ["examples.tenant", "examples.task", "examples.id"],
        name="fk_embeddings_examples",
        ondelete="CASCADE",
    ),
)

# A captured prediction. It stays until somebody decides about it, until it is too old, or until newer ones need its place.
captures = Table(
    "captures",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("id", Characters, nullable=False),
    Column("ordinal", Integer, nullable=False),  # in the order of capture, whatever the clock said then
    Column("version", Integer, nullable=False),  # the one that answered
    Column("backbone_sha256", Characters, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("media_type", Characters, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", Characters, nullable=True),  # of the image, NULL where the server keeps none
    Column("content", ErasableBlob, nullable=False),  # embedding and answer, as `server.store.capture_rows` packs them
    PrimaryKeyConstraint("tenant", "task", "id", name="pk_captures"),
    ForeignKeyConstraint(["tenant", "task"], ["tasks.tenant", "tasks.id"], name="fk_captures_tasks", ondelete="CASCADE"),
    Index("ix_captures_ordinal", "tenant", "task", "ordinal", "created_at", "id"),
)

capture_images = Table(
    "capture_images",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("capture", Characters, nullable=False),
    Column("image", ErasableBlob, nullable=False),
    PrimaryKeyConstraint("tenant", "task", "capture", name="pk_capture_images"),
    ForeignKeyConstraint(
        ["tenant", "task", "capture"],
        ["captures.tenant", "captures.task", "captures.id"],
        name="fk_capture_images_captures",
        ondelete="CASCADE",
    ),
)

# A row stays when the task that was made is deleted: a retry after that must not create the task again. `fingerprint` and `body`
# are then empty, and also after any example of the task was forgotten. A row without `status` says what was made, and its `body`
# holds the other parts of the reply. A row of an earlier release has the reply itself.
replays = Table(
    "replays",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("key", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("version", Integer, nullable=True),  # the number of the version that was made
    Column("name", Characters, nullable=True),  # the name of the task at that time
    Column("refresh", Characters, nullable=True),  # the id of the refresh that was made
    Column("fingerprint", Characters, nullable=False),
    Column("status", Integer, nullable=True),
    Column("location", Characters, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "key", name="pk_replays"),
    Index("ix_replays_created_at", "tenant", "created_at"),
    Index("ix_replays_task", "tenant", "task"),
)

refreshes = Table(
    "refreshes",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("id", Characters, nullable=False),
    Column("bundle", Characters, nullable=False),  # the one that tasks are moved to
    Column("max_drop", Float, nullable=False),
    Column("state", Characters, nullable=False),
    Column("code", Characters, nullable=True),  # with the detail: why it failed
    Column("detail", Characters, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("ordinal", Integer, nullable=False, server_default="0"),  # like that of a task
    PrimaryKeyConstraint("tenant", "id", name="pk_refreshes"),
    Index("ix_refreshes_ordinal", "tenant", "ordinal", "id"),
    Index("ix_refreshes_state", "state"),
)

# No foreign key to the tasks. When a task is deleted, its rows stay and say only that it is gone.
refresh_tasks = Table(
    "refresh_tasks",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("refresh", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("outcome", Characters, nullable=False),
    Column("images", Integer, nullable=False),
    Column("version_before", Integer, nullable=True),
    Column("bundle_before", Characters, nullable=True),
    Column("backbone_before", Characters, nullable=True),  # the sha256 of its file
    Column("version_after", Integer, nullable=True),
    Column("version_returned", Integer, nullable=True),
    Column("judged_by", Characters, nullable=True),
    Column("judged", Integer, nullable=True),
    Column("accuracy_before", Float, nullable=True),
    Column("accuracy_after", Float, nullable=True),
    Column("code", Characters, nullable=True),  # with the detail: why the task was not moved, or not returned
    Column("detail", Characters, nullable=True),
    Column("lease", Characters, nullable=True),  # the id of the one under which a server has claimed it
    PrimaryKeyConstraint("tenant", "refresh", "task", name="pk_refresh_tasks"),
    ForeignKeyConstraint(
        ["tenant", "refresh"], ["refreshes.tenant", "refreshes.id"], name="fk_refresh_tasks_refreshes", ondelete="CASCADE"
    ),
    Index("ix_refresh_tasks_outcome", "tenant", "refresh", "outcome", "task"),
    Index("ix_refresh_tasks_task", "tenant", "task"),
)

# The servers that work on a refresh.
refresh_leases = Table(
    "refresh_leases",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("refresh", Characters, nullable=False),
    Column("id", Characters, nullable=False),
    Column("until", UtcDateTime, nullable=False),  # by the database's clock
    Column("able", Boolean, nullable=False),  # whether the server has the bundles that it has needed so far
    Column("embedded", Integer, nullable=False),  # images of the task at hand
    Column("images_per_second", Float, nullable=True),
    PrimaryKeyConstraint("tenant", "refresh", "id", name="pk_refresh_leases"),
)

# No foreign key to the tasks: that a task was deleted is told after it is gone. There are ids and numbers only, so that there is
# nothing to forget.
events = Table(
    "events",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("ordinal", Integer, nullable=False),  # in the order of the changes, without gaps
    Column("id", Characters, nullable=False),
    Column("type", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=True),  # from here on NULL where the type says nothing of it
    Column("version_before", Integer, nullable=True),
    Column("change", Characters, nullable=True),
    Column("accuracy", Float, nullable=True),
    Column("accuracy_before", Float, nullable=True),
    Column("captures", Integer, nullable=True),
    PrimaryKeyConstraint("tenant", "ordinal", name="pk_events"),
)

# Rows stay when keys are revoked or expire: a server that once had keys asks for one. No foreign key to the tasks: the key of a
# task that was deleted opens nothing.
keys = Table(
    "keys",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("id", Characters, nullable=False),  # no two tenants have the same
    Column("scope", Characters, nullable=False),
    Column("task", Characters, nullable=True),  # the only one that the key is for
    Column("sha256", LargeBinary, nullable=False),  # of the key
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=True),
    Column("last_used_at", UtcDateTime, nullable=True),
    Column("change", Integer, nullable=False),  # the number of the last change of keys that touched the row
    PrimaryKeyConstraint("tenant", "id", name="pk_keys"),
    Index("ix_keys_change", "change"),
)

# Rows are added only: triggers of the migration refuse all else, but for the removal of rows older than 30 days. No label, name
# or image is in it, and no id that a client made up, so that there is nothing to forget. Its rows are of all tenants together.
audit = Table(
    "audit",
    metadata,
    Column("number", Integer, nullable=False),  # in the order of storing, without gaps on SQLite, and never given twice
    Column("time", UtcDateTime, nullable=False),
    Column("tenant", Characters, nullable=True),  # NULL for a caller without a valid key
    Column("key", Characters, nullable=True),  # NULL without keys, and of a command
    Column("action", Characters, nullable=False),
    Column("object", Characters, nullable=True),
    Column("request", Characters, nullable=True),
    Column("result", Characters, nullable=False),
    Column("count", Integer, nullable=False),
    Column("transaction", BigInteger, server_default=text("0"), nullable=False),  # as of `changes`; 0 on SQLite
    PrimaryKeyConstraint("number", name="pk_audit"),
    Index("ix_audit_time", "time"),
    Index("ix_audit_transaction", "transaction", "number"),
    sqlite_autoincrement=True,
)

# Rows stay when quotas are removed, without a limit, so that the removal is a change like any other.
quotas = Table(
    "quotas",
    metadata,
    Column("tenant", Characters, nullable=False),  # `*` stands for every tenant, where its own row says nothing
    Column("key", Characters, nullable=False),  # the id of one of its keys; empty for the tenant as a whole
    Column("requests", BigInteger, nullable=True),  # a minute, like images; NULL is no limit
    Column("images", BigInteger, nullable=True),
    Column("tasks", BigInteger, nullable=True),
    Column("examples", BigInteger, nullable=True),
    Column("bytes", BigInteger, nullable=True),
    Column("captures", BigInteger, nullable=True),
    Column("change", Integer, nullable=False),  # as of `keys`
    PrimaryKeyConstraint("tenant", "key", name="pk_quotas"),
    Index("ix_quotas_change", "change"),
)

# What each tenant has stored. The triggers of migration 0016 count, also what a foreign key removes. No statement writes here.
usage = Table(
    "usage",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("tasks", BigInteger, nullable=False),
    Column("examples", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),  # of the images of examples and captures, as they were sent
    Column("captures", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", name="pk_usage"),
)

# A row for each change of a task on a database that several servers share. The others read the new ones and forget what they
# have of the task in memory. Rows leave after some minutes.
changes = Table(
    "changes",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("transaction", BigInteger, server_default=text("0"), nullable=False),  # the id of the one that wrote the row
    Column("time", UtcDateTime, server_default=func.now(), nullable=False),
    Column("server", Characters, nullable=False),  # a name that each gives itself at its start
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("removed", JSON, nullable=False),  # the numbers of its versions that are gone
    PrimaryKeyConstraint("number", name="pk_changes"),
    Index("ix_changes_transaction", "transaction"),
)

# What each of several servers has used of rates, so that the others count it too. Rows of the same server are of one process.
spent = Table(
    "spent",
    metadata,
    Column("server", Characters, nullable=False),
    Column("slot", Characters, nullable=False),  # the name of the rate, as in `server.rates.Rate`
    Column("seconds", Float, nullable=False),  # that its requests have taken of the rate since it began
    Column("time", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("server", "slot", name="pk_spent"),
)

# What holds for all servers, and is not of a tenant.
choices = Table(
    "choices",
    metadata,
    Column("name", Characters, nullable=False),
    Column("value", Characters, nullable=False),
    PrimaryKeyConstraint("name", name="pk_choices"),
)

# Where an image lies in the object store. One of an example that was relabelled, and its copies, have one row. No foreign key:
# it leaves by `server.store.object_rows.release_objects`, which has the object erased.
objects = Table(
    "objects",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("task", Characters, nullable=False),
    Column("id", Characters, nullable=False),  # of the capture, or of the first example of the image
    Column("path", Characters, nullable=False),
    Column("key", ErasableBlob, nullable=False),  # 32 bytes, that nothing else is encrypted with
    PrimaryKeyConstraint("tenant", "task", "id", name="pk_objects"),
)

# Objects that are to be erased: when they are due, unless a change stores their images before; or in any case.
erasures = Table(
    "erasures",
    metadata,
    Column("tenant", Characters, nullable=False),
    Column("path", Characters, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("certain", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant", "path", name="pk_erasures"),
)
