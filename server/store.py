"""Tasks, examples, versions and the answers kept for idempotency keys."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import URL, Connection, delete, insert, literal, select

from models.heads import BackboneMismatch, Head
from server.active_versions import ActiveVersions
from server.database import Database, StoreError, StoreInUse
from server.errors import ExampleNotFound, TaskNotFound
from server.ids import cursor_after, read_cursor
from server.records import (
    Active,
    Answer,
    Change,
    ExampleInfo,
    NewExample,
    NewTask,
    Replay,
    Support,
    Task,
    Version,
    VersionConflict,
)
from server.statements import (
    OF_TASK,
    REPLAY_LIFETIME,
    VERSION,
    active_of,
    active_rows,
    find_task,
    find_version,
    head_rows,
    insert_examples,
    insert_version,
    keep_answer,
    labels_of,
    last_number,
    lock_task,
    new_version,
    select_tasks,
    support_ids,
    task_of,
    update_task,
    version_of,
)
from server.tables import examples, replays, tasks, versions

__all__ = ["Store", "StoreError", "StoreInUse", "sqlite_url"]


def sqlite_url(data_dir: Path) -> str:
    """The URL of the embedded database in `data_dir`."""
    return URL.create("sqlite", database=str(data_dir.absolute() / "headstart.db")).render_as_string()


class Store:
    """What the server remembers. Thread-safe. Each call but `known_active` blocks for one transaction; what it wrote is on disk.

    What belongs to another tenant does not exist.

    Raises:
        TaskNotFound: from every such method that is given a task's id, if there is no such task.
        StorageFailed: from every such method, if the disk fails; nothing is half written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._active = ActiveVersions()

    @classmethod
    def open(cls, url: str) -> "Store":
        """Opens the database, creating it or bringing its schema up to date.

        Raises:
            StoreInUse: another process has it open.
            StoreError: it cannot be used.
        """
        return cls(Database.open(url))

    def close(self) -> None:
        """Lets go of the database; later calls raise StorageFailed."""
        self._database.close()

    def check(self) -> None:
        """Reads from the database, so that a failure shows. `SELECT 1` alone would never touch the file."""
        with self._database.read() as connection:
            connection.execute(select(literal(1)).select_from(tasks).limit(1)).all()

    def create_task(
        self, tenant: str, new: NewTask, added: Sequence[NewExample], head: Head, answer: Answer | None = None
    ) -> Task:
        """Creates a task of `added`, with `head` as its version 1.

        Raises:
            ReplayExists: the key of `answer` has been answered; nothing is created.
        """
        counts = Counter(example.label for example in added)
        with self._database.write() as connection:
            now = datetime.now(UTC)
            task = Task(new.id, new.name, now, now, new_version(1, "created", counts, head, now))
            connection.execute(
                insert(tasks).values(tenant=tenant, id=new.id, name=new.name, active_version=1, created_at=now, updated_at=now)
            )
            insert_examples(connection, tenant, task, added)
            insert_version(connection, tenant, task, [example.id for example in added], head)
            keep_answer(connection, tenant, task, answer)
        return task

    def add_version(
        self,
        tenant: str,
        task_id: str,
        parent: int,
        change: Change,
        added: Sequence[NewExample],
        removed: Sequence[str],
        head: Head,
        answer: Answer | None = None,
    ) -> Task:
        """Makes a version of the parent's support set without `removed` and with `added`, and makes it the active one.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            ExampleNotFound: `removed` names an example that the parent does not have.
            BackboneMismatch: `head` was fitted on another backbone than the parent's.
            ReplayExists: the key of `answer` has been answered.
        """
        with self._changing(tenant, task_id) as connection:
            before = lock_task(connection, tenant, task_id)
            if before.version.number != parent:
                raise VersionConflict
            if before.version.backbone != head.backbone:
                raise BackboneMismatch(f"the support set's embeddings are of {before.version.backbone}, not of {head.backbone}")
            support = support_ids(connection, tenant, task_id, parent)
            gone = labels_of(connection, tenant, task_id, removed, support)
            counts = Counter({entry.label: entry.examples for entry in before.version.classes})
            counts.update(example.label for example in added)
            counts.subtract(gone.values())

            now = datetime.now(UTC)
            version = new_version(last_number(connection, tenant, task_id) + 1, change, counts, head, now)
            task = Task(task_id, before.name, before.created_at, now, version)
            update_task(connection, tenant, task_id, active_version=version.number, updated_at=now)
            insert_examples(connection, tenant, task, added)
            kept = [example for example in support if example not in gone]
            insert_version(connection, tenant, task, kept + [example.id for example in added], head)
            keep_answer(connection, tenant, task, answer)
        return task

    def activate(self, tenant: str, task_id: str, version: int) -> Task:
        """Makes an existing version the active one.

        Raises:
            VersionNotFound: the task has no such version.
        """
        with self._changing(tenant, task_id) as connection:
            find_version(connection, tenant, task_id, version)
            update_task(connection, tenant, task_id, active_version=version, updated_at=datetime.now(UTC))
            return find_task(connection, tenant, task_id)

    def rename(self, tenant: str, task_id: str, name: str) -> Task:
        """Gives a task another name."""
        with self._database.write() as connection:
            update_task(connection, tenant, task_id, name=name, updated_at=datetime.now(UTC))
            return find_task(connection, tenant, task_id)

    def delete_task(self, tenant: str, task_id: str) -> None:
        """Removes a task with all its versions, examples and images; the schema's foreign keys see to those.

        Answers kept for retries stay for their 24 hours, since they tell what was answered then. They hold no image.
        """
        with self._changing(tenant, task_id) as connection:
            if not connection.execute(delete(tasks).where(tasks.c.tenant == tenant, tasks.c.id == task_id)).rowcount:
                raise TaskNotFound(task_id)

    def task(self, tenant: str, task_id: str) -> Task:
        """A task with its active version."""
        with self._database.read() as connection:
            return find_task(connection, tenant, task_id)

    def tasks(self, tenant: str, cursor: str | None, limit: int) -> tuple[list[Task], str | None]:
        """A page of at most `limit` tasks, newest first, and the cursor of the next page, None after the last.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        query = select_tasks(tenant).order_by(tasks.c.id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(tasks.c.id < read_cursor(cursor))
        with self._database.read() as connection:
            found = [task_of(row) for row in connection.execute(query)]
        return found[:limit], cursor_after(found[limit - 1].id) if len(found) > limit else None

    def task_ids(self, tenant: str) -> list[str]:
        """The id of every task, newest first, read from the index alone."""
        with self._database.read() as connection:
            return list(connection.scalars(select(tasks.c.id).where(tasks.c.tenant == tenant).order_by(tasks.c.id.desc())))

    def active(self, tenant: str, task_id: str) -> Active:
        """The active version's number, backbone and number of classes, at the cost of two look-ups by primary key at most."""
        if (active := self.actives(tenant, [task_id]).get(task_id)) is None:
            raise TaskNotFound(task_id)
        return active

    def actives(self, tenant: str, task_ids: Sequence[str]) -> dict[str, Active]:
        """What `active` returns, of each of these tasks that exists; a statement for every few hundred not in memory."""
        found = self._active.known_among(tenant, task_ids)
        if unknown := [task for task in task_ids if task not in found]:
            changes = self._active.changes()
            with self._database.read() as connection:
                read = {row.id: active_of(row) for row in active_rows(connection, tenant, unknown)}
            for task, active in read.items():
                self._active.keep(tenant, task, active, changes)
            found |= read
        return found

    def known_active(self, tenant: str, task_id: str) -> Active | None:
        """What `active` would return, if that is in memory; this never blocks."""
        return self._active.known(tenant, task_id)

    def versions(self, tenant: str, task_id: str) -> list[Version]:
        """Every version of a task, newest first."""
        query = select(*VERSION).join_from(tasks, versions, OF_TASK).where(tasks.c.tenant == tenant, tasks.c.id == task_id)
        with self._database.read() as connection:
            found = [version_of(row) for row in connection.execute(query.order_by(versions.c.number.desc()))]
        if not found:
            raise TaskNotFound(task_id)
        return found

    def head(self, tenant: str, task_id: str, version: int) -> Head:
        """The head of a version.

        Raises:
            VersionNotFound: the task has no such version.
        """
        with self._database.read() as connection:
            data: bytes = find_version(connection, tenant, task_id, version, versions.c.head).head
        return Head.from_bytes(data)

    def heads(self, tenant: str, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Head]:
        """The head of each of these tasks and versions that exists; a statement for every few hundred."""
        with self._database.read() as connection:
            rows = list(head_rows(connection, tenant, wanted))
        return {(row.task, row.number): Head.from_bytes(row.head) for row in rows}

    def support(self, tenant: str, task_id: str, version: int) -> Support:
        """The support set of a version, without its images.

        Raises:
            VersionNotFound: the task has no such version.
        """
        query = select(examples.c.id, examples.c.label, examples.c.embedding)
        query = query.where(examples.c.tenant == tenant, examples.c.task == task_id)
        with self._database.read() as connection:
            row = find_version(connection, tenant, task_id, version, versions.c.examples, versions.c.backbone_sha256)
            found = {example.id: example for example in connection.execute(query)}
        ordered = [found[example] for example in row.examples]
        embeddings = np.stack([np.frombuffer(example.embedding, "<f4") for example in ordered])
        return Support(
            ids=tuple(row.examples),
            labels=tuple(example.label for example in ordered),
            embeddings=embeddings.astype(np.float32, copy=False),
            backbone_sha256=row.backbone_sha256,
        )

    def examples(self, tenant: str, task_id: str, cursor: str | None, limit: int) -> tuple[list[ExampleInfo], str | None]:
        """A page of at most `limit` examples of the active version, oldest first, and the cursor of the next page.

        A cursor stays good while the support set changes: it marks a place among the ids, not a position.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        after = "" if cursor is None else read_cursor(cursor)
        columns = (examples.c[name] for name in ("id", "label", "media_type", "size", "sha256", "created_at"))
        query = select(*columns).where(examples.c.tenant == tenant, examples.c.task == task_id).order_by(examples.c.id)
        with self._database.read() as connection:
            active = find_task(connection, tenant, task_id).version.number
            ids = sorted(example for example in support_ids(connection, tenant, task_id, active) if example > after)
            if not ids:
                return [], None
            page = ids[:limit]
            # A range and a filter instead of an IN, whose number of parameters databases limit.
            rows = connection.execute(query.where(examples.c.id.between(page[0], page[-1]))).all()
        wanted = set(page)
        found = [ExampleInfo(*row) for row in rows if row.id in wanted]
        return found, cursor_after(page[-1]) if len(ids) > limit else None

    def example_image(self, tenant: str, task_id: str, example_id: str) -> tuple[bytes, str]:
        """The image of an example as it was sent, and its media type.

        Raises:
            ExampleNotFound: the active version has no such example.
        """
        query = select(examples.c.image, examples.c.media_type).where(examples.c.tenant == tenant)
        with self._database.read() as connection:
            active = find_task(connection, tenant, task_id).version.number
            if example_id not in support_ids(connection, tenant, task_id, active):
                raise ExampleNotFound(example_id)
            row = connection.execute(query.where(examples.c.task == task_id, examples.c.id == example_id)).one()
        return row.image, row.media_type

    def replay(self, tenant: str, key: str) -> Replay | None:
        """The answer given to an idempotency key within the last 24 hours, if any."""
        query = select(replays.c.key, replays.c.fingerprint, replays.c.status, replays.c.body, replays.c.location)
        query = query.where(replays.c.tenant == tenant, replays.c.key == key)
        with self._database.read() as connection:
            row = connection.execute(query.where(replays.c.created_at > datetime.now(UTC) - REPLAY_LIFETIME)).one_or_none()
        return None if row is None else Replay(*row)

    @contextmanager
    def _changing(self, tenant: str, task_id: str) -> Iterator[Connection]:
        """A transaction after which another version of the task may be the active one, or none."""
        try:
            with self._database.write() as connection:
                yield connection
        finally:  # Also after a failure: a disk may fail to say that it has written.
            self._active.forget(tenant, task_id)
