"""Tasks, examples, versions and the answers kept for idempotency keys, as they are written; `server.store.reads` reads them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, delete, insert

from models.heads.head import Float32, Head
from server.errors import StorageFailed, TaskNotFound
from server.store.database import Database, StoreError, StoreInUse
from server.store.new_versions import add_changed, add_refreshed, find_parent
from server.store.reads import StoreReads
from server.store.records import Answer, Change, NewExample, NewTask, Task
from server.store.refresh_notes import forget_in_refreshes, note_task
from server.store.refresh_records import Noting
from server.store.refreshes import RefreshStore
from server.store.removal import (
    forget_answers,
    remove_some_images,
    remove_unused_examples,
    remove_versions,
    versions_of,
    versions_with,
)
from server.store.statements import (
    find_task,
    find_version,
    insert_examples,
    insert_version,
    keep_answer,
    new_version,
    next_ordinal,
    now_after,
    update_task,
)
from server.store.tables import tasks

__all__ = ["Store", "StoreError", "StoreInUse", "sqlite_url"]

_Result = TypeVar("_Result")


def sqlite_url(data_dir: Path) -> str:
    """The URL of the embedded database in `data_dir`."""
    return URL.create("sqlite", database=str(data_dir.absolute() / "headstart.db")).render_as_string()


class Store(StoreReads):
    """What the server remembers. Thread-safe. Each call but `known_active` blocks for one transaction; what it wrote is on disk.

    What belongs to another tenant does not exist.

    Raises:
        TaskNotFound: from every such method that is given a task's id, if there is no such task.
        StorageFailed: from every such method, if the disk fails; nothing is half written.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.refreshes = RefreshStore(database)

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
            ordinal = next_ordinal(connection, tenant, tasks)
            connection.execute(
                insert(tasks).values(
                    tenant=tenant,
                    id=new.id,
                    name=new.name,
                    active_version=1,
                    last_version=1,
                    created_at=now,
                    updated_at=now,
                    ordinal=ordinal,
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

    def refresh(
        self,
        tenant: str,
        task_id: str,
        parent: int,
        embedded: Mapping[str, Float32],
        head: Head,
        note: Noting | None = None,
    ) -> Task:
        """Makes a version of the parent's support set on another backbone, and makes it the active one.

        Args:
            embedded: by id, a float32 (D,) for every example of the parent, made by the backbone of `head`. Where an example has
                one of that backbone from before, that stays.
            head: fitted on them.
            note: makes what is written in the refresh that this is part of.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            RefreshStopped: the note is not wanted any more.
            ValueError: `embedded` are not the parent's examples, or the labels of `head` not theirs.
        """
        with self._changing(tenant, task_id) as connection:
            before = find_parent(connection, tenant, task_id, parent)
            task = add_refreshed(connection, tenant, before, embedded, head)
            note_task(connection, tenant, task, note)
        return task

    def put_back(self, tenant: str, task_id: str, parent: int, version: int, note: Noting) -> Task:
        """Makes an existing version the active one again where a refresh is rolled back.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            VersionNotFound: the task has no version `version` any more.
            RefreshStopped: the note is not wanted any more.
        """
        with self._changing(tenant, task_id) as connection:
            find_parent(connection, tenant, task_id, parent)
            task = _activate(connection, tenant, task_id, version)
            note_task(connection, tenant, task, note)
        return task

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

        def forget() -> tuple[Task, list[int]]:
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
                update_task(connection, tenant, task_id, updated_at=now_after(before.created_at))
                return find_task(connection, tenant, task_id), gone

        return self._removing(forget)

    def change(self, tenant: str, task_id: str, *, name: str | None = None, version: int | None = None) -> Task:
        """Gives a task another name, makes an existing version the active one, or does both at once.

        Raises, with nothing changed:
            VersionNotFound: the task has no such version.
        """
        with self._changing(tenant, task_id) as connection:
            if version is not None:
                _activate(connection, tenant, task_id, version)
            if name is not None:
                now = now_after(find_task(connection, tenant, task_id).created_at)
                update_task(connection, tenant, task_id, name=name, updated_at=now)
            return find_task(connection, tenant, task_id)

    def delete_task(self, tenant: str, task_id: str) -> list[int]:
        """Removes a task with all its versions, examples and images; the schema's foreign keys see to those.

        Its bytes are in the files until `erase`. Of answers kept for retries only the keys stay, for their 24 hours.
        On a full disk the images of a large task go some at a time first: a crash in between leaves a task without those.

        Returns:
            The numbers of its versions.
        """

        def remove() -> list[int]:
            with self._changing(tenant, task_id, removes=True) as connection:
                gone = versions_of(connection, tenant, task_id)
                if not connection.execute(delete(tasks).where(tasks.c.tenant == tenant, tasks.c.id == task_id)).rowcount:
                    raise TaskNotFound(task_id)
                forget_answers(connection, tenant, task_id)
                forget_in_refreshes(connection, tenant, task_id)
            return gone

        return self._removing(remove, lambda room: self._remove_images(tenant, task_id, room))

    def erase(self) -> bool:
        """Whether no file holds a byte any more of what was removed before; to be called again where it is not so yet."""
        return self._database.erase()

    def _removing(self, remove: Callable[[], _Result], first: Callable[[int], None] = lambda _room: None) -> _Result:
        """Removes; on a full disk, with the space that is kept for that, of which `first` is told the size.

        What is removed is overwritten with zeros, which go through the log and so need as much space again.
        """
        try:
            return remove()
        except StorageFailed as error:
            if not error.disk_full:
                raise
        room = self._database.give_room()
        self.erase()
        first(room)
        return remove()

    def _remove_images(self, tenant: str, task_id: str, room: int) -> None:
        """Removes a task's images, as many at once as the room allows the log to grow by."""
        while True:
            self._database.give_room()
            with self._database.write(removes=True) as connection:
                if not remove_some_images(connection, tenant, task_id, room // 2):
                    return
            if not self.erase():
                raise StorageFailed("the disk of the server is full, and its log is being read; try again")

    @contextmanager
    def _changing(self, tenant: str, task_id: str, *, removes: bool = False) -> Iterator[Connection]:
        """A transaction after which the task may be another, or gone, or there for the first time."""
        try:
            with self._database.write(removes=removes) as connection:
                yield connection
        finally:  # Also after a failure: a disk may fail to say that it has written.
            self._active.forget(tenant, task_id)


def _activate(connection: Connection, tenant: str, task_id: str, version: int) -> Task:
    find_version(connection, tenant, task_id, version)
    now = now_after(find_task(connection, tenant, task_id).created_at)
    update_task(connection, tenant, task_id, active_version=version, updated_at=now)
    return find_task(connection, tenant, task_id)
