"""Tasks, examples, versions and the answers kept for idempotency keys."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, Connection, delete, func, insert, literal, select

from models.heads import Float32, Head
from server.active_versions import ActiveVersions
from server.database import Database, StoreError, StoreInUse
from server.errors import ExampleNotFound, ImageNotKept, TaskNotFound
from server.ids import cursor_after, read_cursor
from server.new_versions import add_changed, add_refreshed, find_parent
from server.records import (
    Active,
    Answer,
    Change,
    ExampleImage,
    ExampleInfo,
    NewExample,
    NewTask,
    PartlyEmbedded,
    Replay,
    Support,
    Task,
    Version,
)
from server.removal import forget_answers, remove_unused_examples, remove_versions, versions_of, versions_with
from server.statements import (
    ACTIVE,
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
    new_version,
    select_tasks,
    support_ids,
    task_of,
    update_task,
    version_of,
)
from server.support_sets import read_embedded, read_examples, read_images, read_support
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
        with self._changing(tenant, new.id) as connection:
            now = datetime.now(UTC)
            task = Task(new.id, new.name, now, now, new_version(1, "created", counts, head, now))
            connection.execute(
                insert(tasks).values(
                    tenant=tenant, id=new.id, name=new.name, active_version=1, last_version=1, created_at=now, updated_at=now
                )
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
            before = find_parent(connection, tenant, task_id, parent)
            task = add_changed(connection, tenant, before, change, added, removed, head)
            keep_answer(connection, tenant, task, answer)
        return task

    def refresh(self, tenant: str, task_id: str, parent: int, embedded: Mapping[str, Float32], head: Head) -> Task:
        """Makes a version of the parent's support set on another backbone, and makes it the active one.

        Args:
            embedded: by id, a float32 (D,) for every example of the parent, made by the backbone of `head`. Where an example has
                one of that backbone from before, that stays.
            head: fitted on them.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            ValueError: `embedded` are not the parent's examples, or the labels of `head` not theirs.
        """
        with self._changing(tenant, task_id) as connection:
            return add_refreshed(connection, tenant, find_parent(connection, tenant, task_id, parent), embedded, head)

    def forget_example(
        self, tenant: str, task_id: str, parent: int, example_id: str, head: Head | None
    ) -> tuple[Task, list[int]]:
        """Removes an example, every version that was fitted with it, examples that no other version has, and what retries of
        requests to the task would get.

        Its bytes are in the files until `erase`.

        Args:
            head: fitted on the parent's support set without the example, for a new version, which becomes the active one; None
                if the parent does not have it, and stays active.

        Returns:
            The task, and the numbers of the versions that went.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            ExampleNotFound: the task has no such example, or `head` is given and the parent does not have it.
        """
        with self._changing(tenant, task_id, removes=True) as connection:
            before = find_parent(connection, tenant, task_id, parent)
            gone = versions_with(connection, tenant, task_id, example_id)
            if head is not None:
                add_changed(connection, tenant, before, "removed", [], [example_id], head)
            elif parent in gone:
                raise ValueError("the active version has the example, so another one is needed")
            remove_versions(connection, tenant, task_id, gone)
            remove_unused_examples(connection, tenant, task_id)
            forget_answers(connection, tenant, task_id)
            update_task(connection, tenant, task_id, updated_at=datetime.now(UTC))
            return find_task(connection, tenant, task_id), gone

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

    def delete_task(self, tenant: str, task_id: str) -> list[int]:
        """Removes a task with all its versions, examples and images; the schema's foreign keys see to those.

        Its bytes are in the files until `erase`. Of answers kept for retries only the keys stay, for their 24 hours.

        Returns:
            The numbers of its versions.
        """
        with self._changing(tenant, task_id, removes=True) as connection:
            gone = versions_of(connection, tenant, task_id)
            if not connection.execute(delete(tasks).where(tasks.c.tenant == tenant, tasks.c.id == task_id)).rowcount:
                raise TaskNotFound(task_id)
            forget_answers(connection, tenant, task_id)
        return gone

    def erase(self) -> bool:
        """Whether no file holds a byte any more of what was removed before; to be called again where it is not so yet."""
        return self._database.erase()

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

    def task_ids(self, tenant: str) -> Sequence[str]:
        """The id of every task, newest first; unless they are in memory, read from the index alone."""
        if (known := self._active.known_ids(tenant)) is not None:
            return known
        changes = self._active.changes()
        query = select(tasks.c.id).where(tasks.c.tenant == tenant).order_by(tasks.c.id.desc())
        with self._database.read() as connection:
            ids = connection.scalars(query).all()
        self._active.keep_ids(tenant, ids, changes)
        return ids

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

    def active_by_bundle(self) -> dict[str, int]:
        """How many tasks have an active version of each bundle that is used at all: every tenant's, since they share bundles."""
        query = (
            select(versions.c.bundle, func.count().label("used")).join_from(tasks, versions, ACTIVE).group_by(versions.c.bundle)
        )
        with self._database.read() as connection:
            return {row.bundle: int(row.used) for row in connection.execute(query)}

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
        """The support set of a version as its own backbone embeds it, without its images.

        Raises:
            VersionNotFound: the task has no such version.
            BackboneUnavailable: embeddings by that backbone are missing, which no call of this store leads to.
        """
        with self._database.read() as connection:
            return read_support(connection, tenant, task_id, version)

    def examples(self, tenant: str, task_id: str, cursor: str | None, limit: int) -> tuple[list[ExampleInfo], str | None]:
        """A page of at most `limit` examples of the active version, oldest first, and the cursor of the next page.

        A cursor stays good while the support set changes: it marks a place among the ids, not a position.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        after = "" if cursor is None else read_cursor(cursor)
        with self._database.read() as connection:
            active = find_task(connection, tenant, task_id).version.number
            # One more than asked for tells whether there is another page.
            found = read_examples(connection, tenant, task_id, active, after, limit + 1)
        return found[:limit], cursor_after(found[limit - 1].id) if len(found) > limit else None

    def embedded(self, tenant: str, task_id: str, version: int, backbone_sha256: str) -> PartlyEmbedded:
        """The support set of a version as far as a backbone, be it the version's own or another, has embedded it.

        Raises:
            VersionNotFound: the task has no such version.
        """
        with self._database.read() as connection:
            return read_embedded(connection, tenant, task_id, version, backbone_sha256)

    def images(self, tenant: str, task_id: str, example_ids: Sequence[str]) -> list[ExampleImage]:
        """The images of these examples, of whichever versions, in the order of their ids.

        Raises:
            ExampleNotFound: the task has not, or no longer, one of them.
            ImageNotKept: of one of them there is only its embedding.
        """
        with self._database.read() as connection:
            return read_images(connection, tenant, task_id, example_ids)

    def example_image(self, tenant: str, task_id: str, example_id: str) -> tuple[bytes, str]:
        """The image of an example as it was sent, and its media type.

        Raises:
            ExampleNotFound: the active version has no such example.
            ImageNotKept: there is only its embedding.
        """
        query = select(examples.c.image, examples.c.media_type).where(examples.c.tenant == tenant)
        with self._database.read() as connection:
            active = find_task(connection, tenant, task_id).version.number
            if example_id not in support_ids(connection, tenant, task_id, active):
                raise ExampleNotFound(example_id)
            row = connection.execute(query.where(examples.c.task == task_id, examples.c.id == example_id)).one()
        if row.image is None:
            raise ImageNotKept
        return row.image, row.media_type

    def replay(self, tenant: str, key: str) -> Replay | None:
        """The answer given to an idempotency key within the last 24 hours, if any."""
        query = select(replays.c.key, replays.c.fingerprint, replays.c.status, replays.c.body, replays.c.location)
        query = query.where(replays.c.tenant == tenant, replays.c.key == key)
        with self._database.read() as connection:
            row = connection.execute(query.where(replays.c.created_at > datetime.now(UTC) - REPLAY_LIFETIME)).one_or_none()
        return None if row is None else Replay(*row)

    @contextmanager
    def _changing(self, tenant: str, task_id: str, *, removes: bool = False) -> Iterator[Connection]:
        """A transaction after which the task may be another, or gone, or there for the first time."""
        try:
            with self._database.write(removes=removes) as connection:
                yield connection
        finally:  # Also after a failure: a disk may fail to say that it has written.
            self._active.forget(tenant, task_id)
