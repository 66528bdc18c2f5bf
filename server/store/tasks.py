"""Tasks and their versions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select

from models.heads.head import Float32, Head
from server.errors import TaskNotFound, VersionNotFound
from server.ids import cursor_after_number, read_number
from server.store.active_tasks import ActiveTasks
from server.store.capture_rows import count_captures, remove_captures, remove_some_captures
from server.store.database import Database
from server.store.events import EventStore
from server.store.label_sets import counted
from server.store.new_versions import add_changed, add_refreshed, find_parent
from server.store.object_rows import objects_of, release_objects, store_objects
from server.store.records import Accuracy, Asked, CaptureSetting, Change, LabelMode, NewExample, Task, TaskKey, Version
from server.store.refresh_notes import forget_in_refreshes, note_version
from server.store.refresh_records import RefreshNote
from server.store.removal import (
    remove_in_parts,
    remove_some_images,
    remove_unused_examples,
    remove_versions,
    removing,
    versions_of,
    versions_with,
)
from server.store.replays import forget_answers, keep_version
from server.store.statements import (
    OF_TASK,
    VERSION,
    find_version,
    head_rows,
    insert_examples,
    insert_version,
    new_version,
    next_ordinal,
    now_after,
    read_task,
    select_tasks,
    task_of,
    update_task,
    version_of,
)
from server.store.tables import tasks, versions
from server.store.usage import check_usage


class TaskStore:
    """The stored tasks and their versions. Thread-safe; `server.store.store.Store` says what holds for every call."""

    def __init__(self, database: Database, active: ActiveTasks, events: EventStore) -> None:
        self._database = database
        self._active = active
        self._events = events

    def get(self, key: TaskKey) -> Task:
        """Returns a task with its active version."""
        with self._database.read() as connection:
            return read_task(connection, key)

    def page(self, tenant: str, cursor: str | None, limit: int, only: str | None = None) -> tuple[list[Task], str | None]:
        """Returns a page of at most `limit` tasks, newest first, and the cursor of the next page, None after the last.

        Args:
            only: the id of the only task that may be among them; None for any.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        query = select_tasks(tenant).order_by(tasks.c.ordinal.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(tasks.c.ordinal < read_number(cursor))
        if only is not None:
            query = query.where(tasks.c.id == only)
        with self._database.read() as connection:
            found = connection.execute(query).all()
        following = cursor_after_number(found[limit - 1].ordinal) if len(found) > limit else None
        return [task_of(row) for row in found[:limit]], following

    def made(self, key: TaskKey, version: int) -> Task:
        """Returns a task as it was when that version was made, but with the name that it has now.

        Raises:
            VersionNotFound: the task has no such version.
        """
        query = select(*VERSION).join_from(tasks, versions, OF_TASK).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id)
        with self._database.read() as connection:
            task = read_task(connection, key)
            row = connection.execute(query.where(versions.c.number == version)).one_or_none()
        if row is None:
            raise VersionNotFound(version)
        found = version_of(row)
        return replace(task, updated_at=found.created_at, version=found)

    def versions(self, key: TaskKey) -> list[Version]:
        """Returns every version of a task, newest first."""
        query = select(*VERSION).join_from(tasks, versions, OF_TASK).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id)
        with self._database.read() as connection:
            found = [version_of(row) for row in connection.execute(query.order_by(versions.c.number.desc()))]
        if not found:
            raise TaskNotFound(key.id)
        return found

    def head(self, key: TaskKey, version: int) -> Head:
        """Returns the head of a version.

        Raises:
            VersionNotFound: the task has no such version.
        """
        with self._database.read() as connection:
            data: bytes = find_version(connection, key, version, versions.c.head).head
        return Head.from_bytes(data)

    def heads(self, tenant: str, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Head]:
        """Returns the head of each of these tasks and versions that exists. It executes one statement for every few hundred."""
        with self._database.read() as connection:
            rows = list(head_rows(connection, tenant, wanted))
        return {(row.task, row.number): Head.from_bytes(row.head) for row in rows}

    def create(
        self,
        key: TaskKey,
        name: str,
        added: Sequence[NewExample],
        head: Head,
        asked: Asked | None = None,
        accuracy: Accuracy | None = None,
        capture: CaptureSetting | None = None,
        labels: LabelMode = "single",
    ) -> Task:
        """Creates a task with the examples `added`, and `head` as its version 1.

        Raises:
            ReplayExists: the key of `asked` has been answered; nothing is created.
            StoredQuotaExceeded: the tenant may not have as much; nothing is created.
        """
        counts = Counter(counted(example.label for example in added))
        with self._changing(key) as connection:
            now = datetime.now(UTC)
            version = new_version(1, "created", counts, head, now, accuracy)
            task = Task(key, name, now, now, version, capture or CaptureSetting(), labels)
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
                    capture=capture and asdict(capture),
                    labels=labels,
                )
            )
            insert_examples(connection, task, added)
            store_objects(connection, key, objects_of(added))
            check_usage(connection, key.tenant, "tasks", "examples", "bytes")
            insert_version(connection, task, [example.id for example in added], head)
            keep_version(connection, task, asked)
            self._events.tell_created(connection, None, task)
        return task

    def add_version(
        self,
        key: TaskKey,
        parent: int,
        change: Change,
        added: Sequence[NewExample],
        removed: Sequence[str],
        head: Head,
        asked: Asked | None = None,
        accuracy: Accuracy | None = None,
    ) -> Task:
        """Makes a version from the parent's support set without `removed` and with `added`, and makes it the active one.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            ExampleNotFound: `removed` names an example that the parent does not have.
            BackboneMismatch: `head` was fitted on another backbone than the parent's.
            ReplayExists: the key of `asked` has been answered.
            StoredQuotaExceeded: the tenant may not have as much.
        """
        with self._changing(key) as connection:
            before = find_parent(connection, key, parent)
            task = add_changed(connection, before, change, added, removed, head, accuracy)
            if added:
                check_usage(connection, key.tenant, "examples", "bytes")
            keep_version(connection, task, asked)
            self._events.tell_created(connection, before, task)
        return task

    def add_refreshed(
        self,
        key: TaskKey,
        parent: int,
        embedded: Mapping[str, Float32],
        head: Head,
        note: RefreshNote | None = None,
        accuracy: Accuracy | None = None,
    ) -> Task:
        """Makes a version from the parent's support set on another backbone, and makes it the active one.

        Args:
            embedded: by id, a float32 (D,) for every example of the parent, made by the backbone of `head`. If an example
                already has an embedding by that backbone, the stored one stays.
            head: fitted on these embeddings.
            note: written in the refresh that this is part of, together with the number of the new version.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            RefreshStopped: the task is not pending in the refresh any more, or the refresh is not at work.
            ValueError: `embedded` is not of the parent's examples, or `head` does not have their labels.
        """
        with self._changing(key) as connection:
            before = find_parent(connection, key, parent)
            task = add_refreshed(connection, before, embedded, head, accuracy)
            note_version(connection, task, note)
            self._events.tell_created(connection, before, task)
        return task

    def put_back(self, key: TaskKey, parent: int, version: int, note: RefreshNote) -> Task:
        """Makes an existing version the active one again, when a refresh is rolled back.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            VersionNotFound: the task has no version `version` any more.
            RefreshStopped: the task is not pending in the refresh any more, or the refresh is not at work.
        """
        with self._changing(key) as connection:
            find_parent(connection, key, parent)
            task = self._activate(connection, key, version)
            note_version(connection, task, note)
        return task

    def forget_example(
        self, key: TaskKey, parent: int, example_id: str, head: Head | None, accuracy: Accuracy | None = None
    ) -> tuple[Task, list[int]]:
        """Removes an example and every version that was fitted with it.

        It also removes the examples that no other version has, all captures of the task, and the answers kept for retries of
        requests to the task. The bytes stay in the files until `erase`.

        Args:
            head: fitted on the parent's support set without the example. It gives a new version, which becomes the active one.
                None if the parent does not have the example; then the parent stays active.

        Returns:
            The task, and the numbers of the versions that were removed.

        Raises, with nothing changed:
            VersionConflict: `parent` is not the active version any more.
            ExampleNotFound: the task has no such example, or `head` is given and the parent does not have the example.
        """

        def forget() -> tuple[Task, list[int]]:
            gone: list[int] = []
            with self._changing(key, gone, removes=True) as connection:
                before = find_parent(connection, key, parent)
                gone += versions_with(connection, key, example_id)
                if head is not None:
                    task = add_changed(connection, before, "removed", [], [example_id], head, accuracy)
                    self._events.tell_created(connection, before, task)
                elif parent in gone:
                    raise ValueError("the active version has the example, so another one is needed")
                remove_versions(connection, key, gone)
                remove_unused_examples(connection, key)
                remove_captures(connection, key)
                forget_answers(connection, key)
                forgettings = tasks.c.forgettings + 1
                update_task(connection, key, updated_at=now_after(before.created_at), forgettings=forgettings)
                return read_task(connection, key), gone

        return removing(self._database, forget, lambda room: remove_in_parts(self._database, key, room, remove_some_captures))

    def change(
        self,
        key: TaskKey,
        *,
        name: str | None = None,
        version: int | None = None,
        capture: Mapping[str, str | int | None] | None = None,
    ) -> Task:
        """Gives a task another name, makes an existing version the active one, changes what it captures, or all at once.

        Args:
            capture: the fields of its `CaptureSetting` that change.

        Raises, with nothing changed:
            VersionNotFound: the task has no such version.
        """
        with self._changing(key) as connection:
            if version is not None:
                self._activate(connection, key, version)
            if name is not None:
                now = now_after(read_task(connection, key).created_at)
                update_task(connection, key, name=name, updated_at=now)
            if capture is not None:
                before = read_task(connection, key)
                changed = {**asdict(before.capture), **capture}
                update_task(connection, key, capture=changed, updated_at=now_after(before.created_at))
                if changed["notify"] != before.capture.notify:
                    self._events.tell_waiting(connection, key, changed["notify"], 0, count_captures(connection, key))
            return read_task(connection, key)

    def delete(self, key: TaskKey) -> list[int]:
        """Removes a task with all its versions, examples, images and captures, by the foreign keys of the schema.

        Its bytes stay in the files until `erase`. Of the answers kept for retries only the keys stay, for their 24 hours.
        On a full disk its images and its captures are removed first, in parts. A crash in between leaves a task without them.

        Returns:
            The numbers of the versions that the task had.
        """

        def remove() -> list[int]:
            gone: list[int] = []
            with self._changing(key, gone, removes=True) as connection:
                gone += versions_of(connection, key)
                if not connection.execute(delete(tasks).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id)).rowcount:
                    raise TaskNotFound(key.id)
                release_objects(connection, key)
                forget_answers(connection, key)
                forget_in_refreshes(connection, key)
                self._events.tell_deleted(connection, key)
            return gone

        def make_room(room: int) -> None:
            for remove_some in (remove_some_images, remove_some_captures):
                remove_in_parts(self._database, key, room, remove_some)

        return removing(self._database, remove, make_room)

    @contextmanager
    def _changing(self, key: TaskKey, gone: Sequence[int] = (), *, removes: bool = False) -> Iterator[Connection]:
        """Yields a connection with a transaction that may create, change or remove the task.

        Args:
            gone: at the end of the block, the numbers of the versions that it has removed.
        """
        try:
            with self._database.write(key.tenant, removes=removes) as connection:
                yield connection
                self._database.tell_change(connection, *key, gone)
        finally:  # Also after a failure: the disk may have written without confirming it.
            self._active.forget(key)

    def _activate(self, connection: Connection, key: TaskKey, version: int) -> Task:
        find_version(connection, key, version)
        before = read_task(connection, key)
        update_task(connection, key, active_version=version, updated_at=now_after(before.created_at))
        task = read_task(connection, key)
        self._events.tell_activated(connection, before, task)
        return task
