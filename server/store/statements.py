"""Statements that several of the store's calls share. Each statement names its tenant."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, and_, func, insert, select, tuple_, update

from models.heads.head import BackboneRef, Float32, Head
from models.labels import Label
from server.errors import ExampleNotFound, TaskNotFound, VersionNotFound
from server.store.label_sets import LABELS_OF, insert_label_sets, label_of
from server.store.records import (
    Accuracy,
    Active,
    CaptureSetting,
    Change,
    ClassCount,
    FittedOptions,
    ImageObject,
    NewExample,
    Task,
    TaskKey,
    Version,
)
from server.store.tables import embeddings, examples, file_names, label_sets, tasks, versions

MOST_VALUES = 300  # looked up by one statement. Databases limit a statement's parameters, SQLite before 3.32 to 999.
_NO_CAPTURE = CaptureSetting()
_MAX_INTEGER = 2**31 - 1  # the largest in a column: no version has a greater number

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
    versions.c.accuracy,
)
"""The columns that `version_of` reads. None of them is large."""


def belongs_to(table: Table, key: TaskKey) -> ColumnElement[bool]:
    """Returns the condition that a row is about this task, for a table with a column `task`."""
    return and_(table.c.tenant == key.tenant, table.c.task == key.id)


def select_tasks(tenant: str) -> Select[Any]:
    """Returns the query for the tenant's tasks, each with its active version. `task_of` reads its rows."""
    of_task = (tasks.c[name] for name in ("tenant", "id", "name", "created_at", "updated_at", "ordinal", "capture", "labels"))
    query = select(*of_task, *VERSION)
    return query.join_from(tasks, versions, ACTIVE).where(tasks.c.tenant == tenant)


def active_rows(connection: Connection, tenant: str, wanted: Sequence[str]) -> Iterator[Row[Any]]:
    """Yields a row for `active_of`, with the task's id, for each of these tasks that exists.

    It executes one statement for every few hundred tasks.
    """
    query = _select_active(tenant)
    for start in range(0, len(wanted), MOST_VALUES):
        yield from connection.execute(query.where(tasks.c.id.in_(wanted[start : start + MOST_VALUES])))


def _select_active(tenant: str) -> Select[Any]:
    columns = (
        *(tasks.c[name] for name in ("id", "capture", "labels", "forgettings")),
        *(versions.c[name] for name in ("number", "bundle", "backbone_sha256", "classes")),
    )
    return select(*columns).join_from(tasks, versions, ACTIVE).where(tasks.c.tenant == tenant)


def head_rows(connection: Connection, tenant: str, wanted: Sequence[tuple[str, int]]) -> Iterator[Row[Any]]:
    """Yields a row with the head for each of these tasks and versions that exists. One statement serves a few hundred."""
    columns = (versions.c.task, versions.c.number, versions.c.head)
    query: Select[Any] = select(*columns).where(versions.c.tenant == tenant)
    version = tuple_(versions.c.task, versions.c.number)
    for start in range(0, len(wanted), MOST_VALUES):
        some = wanted[start : start + MOST_VALUES]
        # The first condition is for SQLite, which does not look up pairs in an index.
        some_tasks = versions.c.task.in_([task for task, _ in some])
        yield from connection.execute(query.where(some_tasks, version.in_(some)))


def read_task(connection: Connection, key: TaskKey) -> Task:
    """Returns the task with its active version. Raises TaskNotFound if there is none."""
    return _only_task(connection, select_tasks(key.tenant), key.id)


def lock_task(connection: Connection, key: TaskKey) -> Task:
    """Returns the same as `read_task`, and locks the task until this transaction ends, on databases with several writers too."""
    return _only_task(connection, select_tasks(key.tenant).with_for_update(of=tasks), key.id)


def _only_task(connection: Connection, query: Select[Any], task: str) -> Task:
    row = connection.execute(query.where(tasks.c.id == task)).one_or_none()
    if row is None:
        raise TaskNotFound(task)
    return task_of(row)


def find_version(connection: Connection, key: TaskKey, number: int, *columns: Column[Any]) -> Row[Any]:
    """Returns these columns of a version. Raises TaskNotFound or VersionNotFound if there is none."""
    query = select(versions.c.number, *columns).where(belongs_to(versions, key))
    row = connection.execute(query.where(versions.c.number == min(number, _MAX_INTEGER))).one_or_none()
    if row is None:
        read_task(connection, key)
        raise VersionNotFound(number)
    return row


def last_number(connection: Connection, key: TaskKey) -> int:
    """Returns the highest version number that a task has given. That version may have been removed since."""
    query = select(tasks.c.last_version).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id)
    return int(connection.execute(query).scalar_one())


def read_forgettings(connection: Connection, key: TaskKey) -> int:
    """Returns how often something of a task was forgotten; 0 if there is no such task."""
    query = select(tasks.c.forgettings).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id)
    return int(connection.execute(query).scalar_one_or_none() or 0)


def support_ids(connection: Connection, key: TaskKey, number: int) -> list[str]:
    """Returns the ids of a version's support set, in order. Raises TaskNotFound or VersionNotFound if there is none."""
    ids: list[str] = find_version(connection, key, number, versions.c.examples).examples
    return ids


def labels_of(connection: Connection, key: TaskKey, wanted: Sequence[str], support: Sequence[str]) -> dict[str, Label | None]:
    """Returns the label of each wanted example. Raises ExampleNotFound if one is not in the support set."""
    if not wanted:
        return {}
    if unknown := set(wanted) - set(support):
        raise ExampleNotFound(min(unknown))
    query = select(examples.c.id, examples.c.label, label_sets.c.labels).join_from(examples, label_sets, LABELS_OF, isouter=True)
    labels = {row.id: label_of(row.label, row.labels) for row in connection.execute(query.where(belongs_to(examples, key)))}
    return {example: labels[example] for example in wanted}


def next_ordinal(connection: Connection, tenant: str, table: Table) -> int:
    """Returns the ordinal for the row that is about to be added to this table of tasks or refreshes."""
    return 1 + (connection.execute(select(func.max(table.c.ordinal)).where(table.c.tenant == tenant)).scalar_one() or 0)


def now_after(created: datetime) -> datetime:
    """Returns the time by the clock, but never a time before `created`: the clock may have been set back since."""
    return max(datetime.now(UTC), created)


def update_task(connection: Connection, key: TaskKey, **values: Any) -> None:
    """Updates these columns of the task. Raises TaskNotFound if there is none."""
    changed = connection.execute(update(tasks).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id).values(**values))
    if not changed.rowcount:
        raise TaskNotFound(key.id)


def insert_examples(connection: Connection, task: Task, added: Sequence[NewExample]) -> None:
    """Stores examples of the task's new version: with its time of creation, and with embeddings by its backbone.

    `server.store.object_rows.store_objects` stores where their images lie, if that is in the object store.
    """
    rows = [
        {
            "tenant": task.key.tenant,
            "task": task.id,
            "id": example.id,
            "label": example.label if isinstance(example.label, str) else None,
            "media_type": example.media_type,
            "size": example.size,
            "sha256": example.sha256,
            "created_at": task.version.created_at,
            "image": None if isinstance(example.image, ImageObject) else example.image,
        }
        for example in added
    ]
    if rows:
        connection.execute(insert(examples), rows)
        _insert_file_names(connection, task, added)
        insert_label_sets(connection, task.key, added)
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
    """Stores embeddings, given by example id, that the backbone of the task's new version made."""
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
    """Returns the ids of those of a task's examples that have an embedding by the backbone."""
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
            options=version.options.stored(),
            classes=_counted(version),
            examples=list(support),
            accuracy=version.accuracy,
            head=head.to_bytes(),
        )
    )


def new_version(
    number: int, change: Change, counts: Counter[str | None], head: Head, now: datetime, accuracy: Accuracy | None
) -> Version:
    """Returns an active version that is about to be stored. `counts` are the numbers of examples by label, or None.

    Raises ValueError if the labels of `head` are not those of the examples and the classes that its options name.
    """
    options = FittedOptions(**dict(head.options))
    if set(+counts) - {None} | set(options.named) != set(head.labels):
        raise ValueError("the head's labels are not those of its support set")
    classes = tuple(ClassCount(label, counts[label]) for label in head.labels)
    return Version(number, True, change, head.backbone, classes, counts[None], options, now, accuracy)


def _counted(version: Version) -> list[list[str | int | None]]:
    classes: list[list[str | int | None]] = [[entry.label, entry.examples] for entry in version.classes]
    return [*classes, [None, version.negatives]] if version.negatives else classes


def active_of(row: Row[Any]) -> Active:
    ways = sum(label is not None for label, _ in row.classes)
    backbone = BackboneRef(row.bundle, row.backbone_sha256)
    return Active(row.number, backbone, ways, capture_of(row.capture), row.labels, row.forgettings)


def task_of(row: Row[Any]) -> Task:
    times = row.created_at, row.updated_at
    return Task(TaskKey(row.tenant, row.id), row.name, *times, version_of(row), capture_of(row.capture), row.labels)


def capture_of(stored: Mapping[str, Any] | None) -> CaptureSetting:
    """Returns the setting in a task's column `capture`."""
    return CaptureSetting(**stored) if stored else _NO_CAPTURE


def version_of(row: Row[Any]) -> Version:
    return Version(
        number=row.number,
        active=row.number == row.active_version,
        change=row.change,
        backbone=BackboneRef(row.bundle, row.backbone_sha256),
        classes=tuple(ClassCount(label, count) for label, count in row.classes if label is not None),
        negatives=sum(count for label, count in row.classes if label is None),
        options=FittedOptions(**row.options),
        created_at=row.made_at,
        accuracy=None if row.accuracy is None else Accuracy(*row.accuracy),
    )
