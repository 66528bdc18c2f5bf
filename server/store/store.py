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
from server.store.records import Answer, Change, NewExample, Task, TaskKey
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
    find_version,
    insert_examples,
    insert_version,
    keep_answer,
    new_version,
    next_ordinal,
    now_after,
    read_task,
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

    def create_task(self, key: TaskKey, name: str, added: Sequence[NewExample], head: Head, answer: Answer | None = None) -> Task:
        """Creates a task of `added`, with `head` as its version 1.

        Raises:
            ReplayExists: the key of `answer` has been answered; nothing is created.
        """
        counts = Counter(example.label for example in added)
        with self._changing(key) as connection:
            now = datetime.now(UTC)
            task = Task(key, name, now, now, new_version(1, "created", counts, head, now))
            ordinal = next_ordinal(connection, key.tenant, tasks)
            connection.execute(
                insert(tasks).values(
                    tenant=key.tenant,
                    id=key.id,
                    name=name,
                    active_version=1,
                    last_version=1,
                    created_at=now,
                    updated_at=now,
                    ordinal=ordinal,
                )
            )
            insert_examples(connection, task, added)
            insert_version(connection, task, [example.id for example in added], head)
            keep_answer(connection, task, answer)
        return task

    def add_version(
        self,
        key: TaskKey,
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
        with self._changing(key) as connection:
            before = find_parent(connection, key, parent)
            task = add_changed(connection, before, change, added, removed, head)
            keep_answer(connection, task, answer)
        return task

    def refresh(
        self,
        key: TaskKey,
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
        with self._changing(key) as connection:
            before = find_parent(connection, key, parent)
            task = add_refreshed(connection, before, embedded, head)
            note_task(connection, task, note)
        return task

    def put_back(self, key: TaskKey, parent: int, version: int, note: Noting) -> Task:
        """Makes an existing version the active one again where a refresh is rolled back.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            VersionNotFound: the task has no version `version` any more.
            RefreshStopped: the note is not wanted any more.
        """
        with self._changing(key) as connection:
            find_parent(connection, key, parent)
            task = _activate(connection, key, version)
            note_task(connection, task, note)
        return task

    def forget_example(self, key: TaskKey, parent: int, example_id: str, head: Head | None) -> tuple[Task, list[int]]:
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
            with self._changing(key, removes=True) as connection:
                before = find_parent(connection, key, parent)
                gone = versions_with(connection, key, example_id)
                if head is not None:
                    add_changed(connection, before, "removed", [], [example_id], head)
                elif parent in gone:
                    raise ValueError("the active version has the example, so another one is needed")
                remove_versions(connection, key, gone)
                remove_unused_examples(connection, key)
                forget_answers(connection, key)
                update_task(connection, key, updated_at=now_after(before.created_at))
                return read_task(connection, key), gone

        return self._removing(forget)

    def change(self, key: TaskKey, *, name: str | None = None, version: int | None = None) -> Task:
        """Gives a task another name, makes an existing version the active one, or does both at once.

        Raises, with nothing changed:
            VersionNotFound: the task has no such version.
        """
        with self._changing(key) as connection:
            if version is not None:
                _activate(connection, key, version)
            if name is not None:
                now = now_after(read_task(connection, key).created_at)
                update_task(connection, key, name=name, updated_at=now)
            return read_task(connection, key)

    def delete_task(self, key: TaskKey) -> list[int]:
        """Removes a task with all its versions, examples and images; the schema's foreign keys see to those.

        Its bytes are in the files until `erase`. Of answers kept for retries only the keys stay, for their 24 hours.
        On a full disk the images of a large task go some at a time first: a crash in between leaves a task without those.

        Returns:
            The numbers of its versions.
        """

        def remove() -> list[int]:
            with self._changing(key, removes=True) as connection:
                gone = versions_of(connection, key)
                if not connection.execute(delete(tasks).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id)).rowcount:
                    raise TaskNotFound(key.id)
                forget_answers(connection, key)
                forget_in_refreshes(connection, key)
            return gone

        return self._removing(remove, lambda room: self._remove_images(key, room))

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

    def _remove_images(self, key: TaskKey, room: int) -> None:
        """Removes a task's images, as many at once as the room allows the log to grow by."""
        while True:
            self._database.give_room()
            with self._database.write(removes=True) as connection:
                if not remove_some_images(connection, key, room // 2):
                    return
            if not self.erase():
                raise StorageFailed("the disk of the server is full, and its log is being read; try again")

    @contextmanager
    def _changing(self, key: TaskKey, *, removes: bool = False) -> Iterator[Connection]:
        """A transaction after which the task may be another, or gone, or there for the first time."""
        try:
            with self._database.write(removes=removes) as connection:
                yield connection
        finally:  # Also after a failure: a disk may fail to say that it has written.
            self._active.forget(key)


def _activate(connection: Connection, key: TaskKey, version: int) -> Task:
    find_version(connection, key, version)
    now = now_after(read_task(connection, key).created_at)
    update_task(connection, key, active_version=version, updated_at=now)
    return read_task(connection, key)
