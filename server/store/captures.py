"""The captured predictions of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from models.heads.head import Head
from server.errors import CaptureNotFound, ImageNotKept
from server.store.active_tasks import ActiveTasks
from server.store.capture_records import CaptureInfo, NewCapture, ScannedCaptures
from server.store.capture_rows import (
    copy_images,
    count_captures,
    delete_captures,
    embedding_in,
    insert_captures,
    read_captures,
    surplus,
)
from server.store.database import Database
from server.store.events import EventStore
from server.store.images import ImageStore
from server.store.new_versions import add_changed, find_parent
from server.store.object_rows import Owner, read_objects
from server.store.records import Accuracy, Asked, ImageObject, NewExample, Task, TaskKey
from server.store.removal import removing, versions_of
from server.store.replays import keep_version
from server.store.statements import belongs_to, capture_of, now_after, read_forgettings, read_task
from server.store.tables import capture_images, captures, tasks
from server.store.usage import captures_that_fit, check_usage


class Added(NamedTuple):
    """The outcome of storing captures.

    Attributes:
        stored: the ids of those that were stored.
        removed: whether others were removed. Their bytes stay in the files until `erase`.
        over_quota: how many were left out, since their tenants may not have as many.
    """

    stored: set[str]
    removed: bool
    over_quota: int


class CaptureStore:
    """The stored captures. Thread-safe; `server.store.store.Store` says what holds for every call."""

    def __init__(self, database: Database, active: ActiveTasks, events: EventStore, images: ImageStore) -> None:
        self._database = database
        self._active = active
        self._events = events
        self._images = images

    def add(self, taken: Sequence[NewCapture], keep_images: bool, *, whole: bool = False) -> Added:
        """Stores captures of any tasks in one transaction. A task that has too many then loses its oldest.

        Captures of a version that is gone are left out: it was forgotten, or its task was deleted. So are those that were taken
        before something of the task was forgotten, and those beyond a quota.

        Args:
            whole: whether a quota refuses them all instead.

        Raises:
            StoredQuotaExceeded: a tenant may not have as many; nothing is stored.
        """
        by_task: dict[TaskKey, list[NewCapture]] = {}
        for capture in taken:
            by_task.setdefault(capture.key, []).append(capture)
        if keep_images and self._images.elsewhere:
            return self._add_outside(by_task, whole)
        with self._database.write(*{key.tenant for key in by_task}, replaces=True) as connection:
            return _together([self._add(connection, key, of_task, keep_images, whole) for key, of_task in by_task.items()])

    def _add_outside(self, by_task: Mapping[TaskKey, Sequence[NewCapture]], whole: bool) -> Added:
        """Does the same with images that go into the object store. Of captures that are left out, none goes there in vain."""
        with self._database.read() as connection:
            chosen = {key: self._choose(connection, key, of_task, True, whole) for key, of_task in by_task.items()}
        over_quota = sum(over for _, over in chosen.values())
        if not any(some for some, _ in chosen.values()):
            return Added(set(), removed=False, over_quota=over_quota)
        placed = self._images.place({(key, each.id): each.image for key, (some, _) in chosen.items() for each in some})
        stored = set[str]()
        try:
            with self._database.write(*{key.tenant for key in chosen}, replaces=True) as connection:
                added = _together([self._add(connection, key, some, True, whole, placed) for key, (some, _) in chosen.items()])
            stored = added.stored
        finally:
            if left := {owner: at for owner, at in placed.items() if owner[1] not in stored}:
                self._images.give_up(left)
        return Added(stored, added.removed or bool(left), over_quota + added.over_quota)

    def _add(
        self,
        connection: Connection,
        key: TaskKey,
        taken: Sequence[NewCapture],
        keep_images: bool,
        whole: bool,
        placed: Mapping[Owner, ImageObject] | None = None,
    ) -> Added:
        newest, over_quota = self._choose(connection, key, taken, keep_images, whole)
        if not newest:
            return Added(set(), removed=False, over_quota=over_quota)
        setting, before = read_task(connection, key).capture, count_captures(connection, key)
        insert_captures(connection, key, newest, keep_images, placed)
        gone = delete_captures(connection, key, surplus(connection, key, setting, datetime.now(UTC)))
        self._events.tell_waiting(connection, key, setting.notify, before, before + len(newest) - gone)
        if whole:
            check_usage(connection, key.tenant, "captures", "bytes")
        return Added({capture.id for capture in newest}, gone > 0, over_quota)

    def _choose(
        self, connection: Connection, key: TaskKey, taken: Sequence[NewCapture], keep_images: bool, whole: bool
    ) -> tuple[Sequence[NewCapture], int]:
        """Returns those that are stored, and how many are left out because of a quota."""
        there, forgettings = set(versions_of(connection, key)), read_forgettings(connection, key)
        usable = [each for each in taken if each.version in there and each.forgettings == forgettings]
        if not usable:
            return [], 0
        setting = read_task(connection, key).capture
        newest = usable[-setting.limit :]
        if whole:
            return newest, 0
        sizes = [len(capture.image) if keep_images else 0 for capture in newest]
        leaving = max(0, count_captures(connection, key) + len(newest) - setting.limit)
        fit = captures_that_fit(connection, key.tenant, sizes, leaving)
        return newest[:fit], len(newest) - fit

    def trim(self) -> bool:
        """Removes the captures of all tasks that are too old or too many. Returns whether there were any."""
        query = select(tasks.c.tenant, tasks.c.id, tasks.c.capture)
        query = query.where(
            select(captures.c.id).where(captures.c.tenant == tasks.c.tenant, captures.c.task == tasks.c.id).exists()
        )
        now = datetime.now(UTC)
        with self._database.read() as connection:
            having = {TaskKey(row.tenant, row.id): capture_of(row.capture) for row in connection.execute(query)}
            found = {key: surplus(connection, key, setting, now) for key, setting in having.items()}
        gone = {key: ids for key, ids in found.items() if ids}
        for key, ids in gone.items():
            with self._database.write(key.tenant, removes=True) as connection:
                delete_captures(connection, key, ids)
        return bool(gone)

    def scan(self, key: TaskKey, backbone_sha256: str, dim: int) -> ScannedCaptures:
        """Returns the embeddings (dim,) of a task's captures that are by one backbone, the newest first."""
        of_task = belongs_to(captures, key)
        query = select(captures.c.id, embedding_in(dim)).where(of_task, captures.c.backbone_sha256 == backbone_sha256)
        with self._database.read() as connection:
            read_task(connection, key)
            rows = connection.execute(query.order_by(captures.c.ordinal.desc())).all()
            count = count_captures(connection, key)
        vectors = np.frombuffer(b"".join([vector for _, vector in rows]), "<f4").astype(np.float32, copy=False)
        return ScannedCaptures(tuple(id_ for id_, _ in rows), vectors.reshape(-1, dim), count - len(rows))

    def get(self, key: TaskKey, ids: Sequence[str]) -> list[CaptureInfo]:
        """Returns these captures, in this order.

        Raises:
            CaptureNotFound: the task does not have one of them, or no longer has it.
        """
        with self._database.read() as connection:
            read_task(connection, key)
            return read_captures(connection, key, ids)

    def image(self, key: TaskKey, id_: str) -> tuple[bytes, str]:
        """Returns the image of a capture as it was sent, and its media type.

        Raises:
            CaptureNotFound: the task has no such capture.
            ImageNotKept: the image was not kept, only its embedding.
        """
        query = select(capture_images.c.image).where(belongs_to(capture_images, key), capture_images.c.capture == id_)

        def read() -> list[tuple[str, bytes | ImageObject]]:
            with self._database.read() as connection:
                read_task(connection, key)
                (info,) = read_captures(connection, key, [id_])
                found = connection.scalars(query).one_or_none() or read_objects(connection, key, [id_]).get(id_)
            if found is None:
                raise ImageNotKept("capture")
            return [(info.media_type, found)]

        ((media_type, image),) = self._images.fetch(read)
        return image, media_type

    def resolve(
        self,
        key: TaskKey,
        parent: int,
        added: Mapping[str, NewExample],
        discarded: Sequence[str],
        head: Head | None,
        asked: Asked | None = None,
        accuracy: Accuracy | None = None,
    ) -> Task:
        """Makes captures examples of a new version, which becomes the active one, and removes others for good.

        The bytes of the discarded ones stay in the files until `erase`.

        Args:
            added: by the id of the capture, the example that it becomes; its image is taken from the capture.
            head: fitted on the parent's support set with `added`. None if there are none; then the parent stays active.

        Raises, with nothing changed:
            CaptureNotFound: the task does not have one of the captures any more.
            VersionConflict: `parent` is not the active version any more.
            ReplayExists: the key of `asked` has been answered.
            StoredQuotaExceeded: the tenant may not have as many examples.
        """

        def change() -> Task:
            with self._database.write(key.tenant, removes=head is None, replaces=True) as connection:
                task = before = find_parent(connection, key, parent)
                if head is not None:
                    task = add_changed(connection, before, "added", list(added.values()), [], head, accuracy)
                    self._events.tell_created(connection, before, task)
                    kept = {example.id: capture for capture, example in added.items() if example.sha256 is not None}
                    copy_images(connection, key, kept)
                for id_ in (*added, *discarded):
                    if not delete_captures(connection, key, [id_]):
                        raise CaptureNotFound(id_)
                if added:  # Their images were counted before.
                    check_usage(connection, key.tenant, "examples")
                keep_version(connection, replace(task, updated_at=now_after(task.created_at)), asked)
                self._database.tell_change(connection, *key)
            return task

        try:
            return change() if head is not None else removing(self._database, change)
        finally:
            self._active.forget(key)


def _together(added: Sequence[Added]) -> Added:
    stored = set[str]().union(*(each.stored for each in added))
    return Added(stored, any(each.removed for each in added), sum(each.over_quota for each in added))
