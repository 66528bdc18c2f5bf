"""What the server remembers, as it is read: the store's calls that change nothing."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, literal, select

from models.heads.head import BackboneRef, Head
from server.errors import ExampleNotFound, ImageNotKept, TaskNotFound
from server.ids import cursor_after, cursor_after_number, read_cursor, read_number
from server.store.active_versions import ActiveVersions
from server.store.database import Database
from server.store.database_files import StoreSizes
from server.store.records import (
    Active,
    ExampleImage,
    ExampleInfo,
    NewExample,
    PartlyEmbedded,
    Replay,
    Support,
    Task,
    TaskKey,
    Version,
)
from server.store.statements import (
    ACTIVE,
    OF_TASK,
    REPLAY_LIFETIME,
    VERSION,
    active_of,
    active_rows,
    find_version,
    head_rows,
    read_task,
    select_tasks,
    support_ids,
    task_of,
    version_of,
)
from server.store.support_sets import read_embedded, read_example, read_examples, read_images, read_support
from server.store.tables import examples, replays, tasks, versions


class StoreReads:
    """The reading half of `server.store.store.Store`, which says what holds for every call."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._active = ActiveVersions()

    def check(self) -> None:
        """Reads from the database and shows that it can be written to.

        Raises:
            StorageFailed: it cannot; with `disk_full`, for want of space alone.
        """
        with self._database.read() as connection:  # `SELECT 1` alone would never touch the file.
            connection.execute(select(literal(1)).select_from(tasks).limit(1)).all()
        self._database.check()

    def sizes(self) -> StoreSizes:
        """How large it is, and how large it may become."""
        return self._database.sizes()

    def task(self, key: TaskKey) -> Task:
        """A task with its active version."""
        with self._database.read() as connection:
            return read_task(connection, key)

    def tasks(self, tenant: str, cursor: str | None, limit: int) -> tuple[list[Task], str | None]:
        """A page of at most `limit` tasks, newest first, and the cursor of the next page, None after the last.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        query = select_tasks(tenant).order_by(tasks.c.ordinal.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(tasks.c.ordinal < read_number(cursor))
        with self._database.read() as connection:
            found = connection.execute(query).all()
        following = cursor_after_number(found[limit - 1].ordinal) if len(found) > limit else None
        return [task_of(row) for row in found[:limit]], following

    def task_ids(self, tenant: str) -> Sequence[str]:
        """The id of every task, newest first; unless they are in memory, read from the index alone."""
        if (known := self._active.known_ids(tenant)) is not None:
            return known
        changes = self._active.changes()
        query = select(tasks.c.id).where(tasks.c.tenant == tenant).order_by(tasks.c.ordinal.desc())
        with self._database.read() as connection:
            ids = connection.scalars(query).all()
        self._active.keep_ids(tenant, ids, changes)
        return ids

    def active(self, key: TaskKey) -> Active:
        """The active version's number, backbone and number of classes, at the cost of two look-ups by primary key at most."""
        if (active := self.actives(key.tenant, [key.id]).get(key.id)) is None:
            raise TaskNotFound(key.id)
        return active

    def actives(self, tenant: str, task_ids: Sequence[str]) -> dict[str, Active]:
        """What `active` returns, of each of these tasks that exists; a statement for every few hundred not in memory."""
        found = self._active.known_among(tenant, task_ids)
        if unknown := [task for task in task_ids if task not in found]:
            changes = self._active.changes()
            with self._database.read() as connection:
                read = {row.id: active_of(row) for row in active_rows(connection, tenant, unknown)}
            for task, active in read.items():
                self._active.keep(TaskKey(tenant, task), active, changes)
            found |= read
        return found

    def known_active(self, key: TaskKey) -> Active | None:
        """What `active` would return, if that is in memory; this never blocks."""
        return self._active.known(key)

    def active_by_backbone(self) -> dict[BackboneRef, int]:
        """How many tasks' active versions use each backbone that is used at all: every tenant's, since they share bundles."""
        backbone = (versions.c.bundle, versions.c.backbone_sha256)
        query = select(*backbone, func.count().label("used")).join_from(tasks, versions, ACTIVE).group_by(*backbone)
        with self._database.read() as connection:
            return {BackboneRef(row.bundle, row.backbone_sha256): int(row.used) for row in connection.execute(query)}

    def active_by_bundle(self) -> dict[str, int]:
        """The same, whichever of a bundle's files they use."""
        used: Counter[str] = Counter()
        for backbone, count in self.active_by_backbone().items():
            used[backbone.bundle] += count
        return dict(used)

    def newest_bundle(self) -> str | None:
        """The bundle of the newest task's active version, whoever's that is; None without a task."""
        query = select(versions.c.bundle).join_from(tasks, versions, ACTIVE).order_by(tasks.c.ordinal.desc()).limit(1)
        with self._database.read() as connection:
            bundle: str | None = connection.execute(query).scalar_one_or_none()
        return bundle

    def versions(self, key: TaskKey) -> list[Version]:
        """Every version of a task, newest first."""
        query = select(*VERSION).join_from(tasks, versions, OF_TASK).where(tasks.c.tenant == key.tenant, tasks.c.id == key.id)
        with self._database.read() as connection:
            found = [version_of(row) for row in connection.execute(query.order_by(versions.c.number.desc()))]
        if not found:
            raise TaskNotFound(key.id)
        return found

    def head(self, key: TaskKey, version: int) -> Head:
        """The head of a version.

        Raises:
            VersionNotFound: the task has no such version.
        """
        with self._database.read() as connection:
            data: bytes = find_version(connection, key, version, versions.c.head).head
        return Head.from_bytes(data)

    def heads(self, tenant: str, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Head]:
        """The head of each of these tasks and versions that exists; a statement for every few hundred."""
        with self._database.read() as connection:
            rows = list(head_rows(connection, tenant, wanted))
        return {(row.task, row.number): Head.from_bytes(row.head) for row in rows}

    def support(self, key: TaskKey, version: int) -> Support:
        """The support set of a version as its own backbone embeds it, without its images.

        Raises:
            VersionNotFound: the task has no such version.
            BackboneUnavailable: embeddings by that backbone are missing, which no call of this store leads to.
        """
        with self._database.read() as connection:
            return read_support(connection, key, version)

    def examples(self, key: TaskKey, cursor: str | None, limit: int) -> tuple[list[ExampleInfo], str | None]:
        """A page of at most `limit` examples of the active version, oldest first, and the cursor of the next page.

        A cursor stays good while the support set changes: it marks a place among the examples, not a position.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        after = "" if cursor is None else read_cursor(cursor)
        with self._database.read() as connection:
            active = read_task(connection, key).version.number
            # One more than asked for tells whether there is another page.
            found = read_examples(connection, key, active, after, limit + 1)
        return found[:limit], cursor_after(found[limit - 1].id) if len(found) > limit else None

    def embedded(self, key: TaskKey, version: int, backbone_sha256: str) -> PartlyEmbedded:
        """The support set of a version as far as a backbone, be it the version's own or another, has embedded it.

        Raises:
            VersionNotFound: the task has no such version.
        """
        with self._database.read() as connection:
            return read_embedded(connection, key, version, backbone_sha256)

    def images(self, key: TaskKey, example_ids: Sequence[str]) -> list[ExampleImage]:
        """The images of these examples, of whichever versions, in the order of their ids.

        Raises:
            ExampleNotFound: the task has not, or no longer, one of them.
            ImageNotKept: of one of them there is only its embedding.
        """
        with self._database.read() as connection:
            return read_images(connection, key, example_ids)

    def example(self, key: TaskKey, version: int, example_id: str) -> NewExample:
        """An example of a version with all that is stored of it, its embedding that of the version's backbone. Of one that was
        relabelled since it had this id, what the version has of its image.

        Raises:
            VersionNotFound: the task has no such version.
            ExampleNotFound: the version has nothing of that image.
        """
        with self._database.read() as connection:
            return read_example(connection, key, version, example_id)

    def example_image(self, key: TaskKey, example_id: str) -> tuple[bytes, str]:
        """The image of an example as it was sent, and its media type.

        Raises:
            ExampleNotFound: the active version has no such example.
            ImageNotKept: there is only its embedding.
        """
        query = select(examples.c.image, examples.c.media_type).where(examples.c.tenant == key.tenant)
        with self._database.read() as connection:
            active = read_task(connection, key).version.number
            if example_id not in support_ids(connection, key, active):
                raise ExampleNotFound(example_id)
            row = connection.execute(query.where(examples.c.task == key.id, examples.c.id == example_id)).one()
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
