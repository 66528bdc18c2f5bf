"""What several of the store's calls say to the database. Each statement names its tenant."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, and_, func, insert, select, tuple_, update

from models.heads.head import BackboneRef, Float32, Head
from server.errors import ExampleNotFound, TaskNotFound, VersionNotFound
from server.store.records import (
    Active,
    Change,
    ClassCount,
    FittedOptions,
    NewExample,
    Task,
    TaskKey,
    Version,
)
from server.store.tables import embeddings, examples, file_names, tasks, versions

_MOST_VALUES = 300  # to look for at once: databases limit the parameters of a statement, SQLite before 3.32 to 999
_MAX_INTEGER = 2**31 - 1  # of a column: no version has a greater number

OF_TASK = and_(versions.c.tenant == tasks.c.tenant, versions.c.task == tasks.c.id)
ACTIVE = and_(OF_TASK, versions.c.number == tasks.c.active_version)

VERSION: tuple[ColumnElement[Any], ...] = (
    tasks.c.active_version,
    versions.c.number,
    versions.c.change,
    versions.c.bundle,
    versions.c.backbone_sha256,
    versions.c.created_at.label("made_at"),
    versions.c.options,
    versions.c.classes,
)
"""The columns that `version_of` reads: none of them is large."""


def belongs_to(table: Table, key: TaskKey) -> ColumnElement[bool]:
    """Whether a row of a table with a column `task` is about this task."""
    return and_(table.c.tenant == key.tenant, table.c.task == key.id)


def select_tasks(tenant: str) -> Select[Any]:
    """The tenant's tasks, each with its active version; the rows are for `task_of`."""
    query = select(tasks.c.tenant, tasks.c.id, tasks.c.name, tasks.c.created_at, tasks.c.updated_at, tasks.c.ordinal, *VERSION)
    return query.join_from(tasks, versions, ACTIVE).where(tasks.c.tenant == tenant)


def active_rows(connection: Connection, tenant: str, wanted: Sequence[str]) -> Iterator[Row[Any]]:
    """What `active_of` reads of the active version of each of these tasks, and its id; a statement for every few hundred."""
    query = _select_active(tenant)
    for start in range(0, len(wanted), _MOST_VALUES):
        yield from connection.execute(query.where(tasks.c.id.in_(wanted[start : start + _MOST_VALUES])))


def named_active_rows(connection: Connection, tenant: str, wanted: Sequence[str]) -> Iterator[Row[Any]]:
    """The same, if every one of these tasks exists.

    Raises:
        TaskNotFound: one does not; nothing is looked for beyond the statement that misses it.
    """
    for start in range(0, len(wanted), _MOST_VALUES):
        some = wanted[start : start + _MOST_VALUES]
        rows = {row.id: row for row in active_rows(connection, tenant, some)}
        for task in some:
            if task not in rows:
                raise TaskNotFound(task)
        yield from rows.values()


def all_active_rows(connection: Connection, tenant: str) -> Iterator[Row[Any]]:
    """The same of every task."""
    yield from connection.execute(_select_active(tenant))


def _select_active(tenant: str) -> Select[Any]:
    columns = (tasks.c.id, versions.c.number, versions.c.bundle, versions.c.backbone_sha256, versions.c.classes)
    return select(*columns).join_from(tasks, versions, ACTIVE).where(tasks.c.tenant == tenant)


def head_rows(connection: Connection, tenant: str, wanted: Sequence[tuple[str, int]]) -> Iterator[Row[Any]]:
    """The head of each of these tasks and versions, a statement for every few hundred."""
    columns = (versions.c.task, versions.c.number, versions.c.head)
    query: Select[Any] = select(*columns).where(versions.c.tenant == tenant)
    version = tuple_(versions.c.task, versions.c.number)
    for start in range(0, len(wanted), _MOST_VALUES):
        some = wanted[start : start + _MOST_VALUES]
        # The first condition is for SQLite, which looks up no pairs in an index.
        some_tasks = versions.c.task.in_([task for task, _ in some])
        yield from connection.execute(query.where(some_tasks, version.in_(some)))


def read_task(connection: Connection, key: TaskKey) -> Task:
    """Raises TaskNotFound if there is none."""
    return _only_task(connection, select_tasks(key.tenant), key.id)


def lock_task(connection: Connection, key: TaskKey) -> Task:
    """`read_task`, and nobody else changes it before this transaction ends, also where several transactions write."""
    return _only_task(connection, select_tasks(key.tenant).with_for_update(of=tasks), key.id)


def _only_task(connection: Connection, query: Select[Any], task: str) -> Task:
    row = connection.execute(query.where(tasks.c.id == task)).one_or_none()
    if row is None:
        raise TaskNotFound(task)
    return task_of(row)


def find_version(connection: Connection, key: TaskKey, number: int, *columns: Column[Any]) -> Row[Any]:
    """These columns of a version. Raises TaskNotFound or VersionNotFound if there is none."""
    query = select(versions.c.number, *columns).where(belongs_to(versions, key))
    row = connection.execute(query.where(versions.c.number == min(number, _MAX_INTEGER))).one_or_none()
    if row is None:
        read_task(connection, key)
        raise VersionNotFound(number)
    return row


def last_number(connection: Connection, key: TaskKey) -> int:
    """The highest version number that a task has given, be it to a version since removed."""
    query = select(tasks.c.last_version).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id)
    return int(connection.execute(query).scalar_one())


def support_ids(connection: Connection, key: TaskKey, number: int) -> list[str]:
    """The ids of a version's support set, in order. Raises TaskNotFound or VersionNotFound if there is none."""
    ids: list[str] = find_version(connection, key, number, versions.c.examples).examples
    return ids


def labels_of(connection: Connection, key: TaskKey, wanted: Sequence[str], support: Sequence[str]) -> dict[str, str]:
    """The label of each wanted example. Raises ExampleNotFound for one that is not in the support set."""
    if not wanted:
        return {}
    if unknown := set(wanted) - set(support):
        raise ExampleNotFound(min(unknown))
    query = select(examples.c.id, examples.c.label).where(belongs_to(examples, key))
    labels = {row.id: row.label for row in connection.execute(query)}
    return {example: labels[example] for example in wanted}


def next_ordinal(connection: Connection, tenant: str, table: Table) -> int:
    """The number of the row that is about to be added to this table of tasks or refreshes."""
    return 1 + (connection.execute(select(func.max(table.c.ordinal)).where(table.c.tenant == tenant)).scalar_one() or 0)


def now_after(created: datetime) -> datetime:
    """What the clock says, but not before something's creation: it may have been set back since."""
    return max(datetime.now(UTC), created)


def update_task(connection: Connection, key: TaskKey, **values: Any) -> None:
    """Raises TaskNotFound if there is none."""
    changed = connection.execute(update(tasks).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id).values(**values))
    if not changed.rowcount:
        raise TaskNotFound(key.id)


def insert_examples(connection: Connection, task: Task, added: Sequence[NewExample]) -> None:
    """Stores examples as made by the backbone, and at the time, of the task's new version."""
    rows = [
        {
            "tenant": task.key.tenant,
            "task": task.id,
            "id": example.id,
            "label": example.label,
            "media_type": example.media_type,
            "size": example.size,
            "sha256": example.sha256,
            "created_at": task.version.created_at,
            "image": example.image,
        }
        for example in added
    ]
    if rows:
        connection.execute(insert(examples), rows)
        _insert_file_names(connection, task, added)
        insert_embeddings(connection, task, {example.id: example.embedding for example in added})


def _insert_file_names(connection: Connection, task: Task, added: Sequence[NewExample]) -> None:
    rows = [
        {"tenant": task.key.tenant, "task": task.id, "example": example.id, "name": example.file_name.encode()}
        for example in added
        if example.file_name
    ]
    if rows:
        connection.execute(insert(file_names), rows)


def insert_embeddings(connection: Connection, task: Task, embedded: Mapping[str, Float32]) -> None:
    """Stores embeddings, by example, as made by the backbone of the task's new version."""
    rows = [
        {
            "tenant": task.key.tenant,
            "task": task.id,
            "example": example,
            "backbone_sha256": task.version.backbone.sha256,
            "embedding": embedding.astype("<f4").tobytes(),
        }
        for example, embedding in embedded.items()
    ]
    if rows:
        connection.execute(insert(embeddings), rows)


def embedded_by(connection: Connection, key: TaskKey, backbone_sha256: str) -> set[str]:
    """The ids of a task's examples that have an embedding by a backbone."""
    query = select(embeddings.c.example).where(belongs_to(embeddings, key))
    return set(connection.execute(query.where(embeddings.c.backbone_sha256 == backbone_sha256)).scalars())


def insert_version(connection: Connection, task: Task, support: Sequence[str], head: Head) -> None:
    """Stores the task's new version."""
    version = task.version
    connection.execute(
        insert(versions).values(
            tenant=task.key.tenant,
            task=task.id,
            number=version.number,
            change=version.change,
            bundle=version.backbone.bundle,
            backbone_sha256=version.backbone.sha256,
            created_at=version.created_at,
            options=version.options.model_dump(),
            classes=[[entry.label, entry.examples] for entry in version.classes],
            examples=list(support),
            head=head.to_bytes(),
        )
    )


def new_version(number: int, change: Change, counts: Counter[str], head: Head, now: datetime) -> Version:
    """An active version as it is about to be stored; `counts` are the examples by label."""
    if set(+counts) != set(head.labels):
        raise ValueError("the head's labels are not those of its support set")
    classes = tuple(ClassCount(label, counts[label]) for label in head.labels)
    return Version(number, True, change, head.backbone, classes, FittedOptions(**dict(head.options)), now)


def active_of(row: Row[Any]) -> Active:
    return Active(row.number, BackboneRef(row.bundle, row.backbone_sha256), len(row.classes))


def task_of(row: Row[Any]) -> Task:
    return Task(TaskKey(row.tenant, row.id), row.name, row.created_at, row.updated_at, version_of(row))


def version_of(row: Row[Any]) -> Version:
    return Version(
        number=row.number,
        active=row.number == row.active_version,
        change=row.change,
        backbone=BackboneRef(row.bundle, row.backbone_sha256),
        classes=tuple(ClassCount(label, count) for label, count in row.classes),
        options=FittedOptions(**row.options),
        created_at=row.made_at,
    )
