"""The active version of each task. Every request asks for it first."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import func, select

from models.heads.head import BackboneRef
from server.changes import Changes
from server.errors import TaskNotFound
from server.store.active_versions import ActiveVersions
from server.store.database import Database
from server.store.records import Active, TaskKey
from server.store.statements import ACTIVE, active_of, active_rows
from server.store.tables import tasks, versions


class ActiveTasks:
    """The tasks and the active version of each, kept in memory once they were asked for. Thread-safe.

    `server.store.store.Store` says what holds for every call.
    """

    def __init__(self, database: Database, changes: Changes) -> None:
        self._database = database
        self._versions = ActiveVersions(changes)

    def ids(self, tenant: str) -> Sequence[str]:
        """Returns the id of every task, newest first. Ids that are not in memory are read from the index alone."""
        if (known := self._versions.known_ids(tenant)) is not None:
            return known
        stamp = self._versions.stamp(tenant)
        query = select(tasks.c.id).where(tasks.c.tenant == tenant).order_by(tasks.c.ordinal.desc())
        with self._database.read() as connection:
            ids = connection.scalars(query).all()
        self._versions.keep_ids(tenant, ids, stamp)
        return ids

    def get(self, key: TaskKey) -> Active:
        """Returns the active version's number, backbone and number of classes. It costs at most two look-ups by primary key."""
        if (active := self.get_many(key.tenant, [key.id]).get(key.id)) is None:
            raise TaskNotFound(key.id)
        return active

    def get_many(self, tenant: str, task_ids: Sequence[str]) -> dict[str, Active]:
        """Returns by id, for each of these tasks that exists, the same as `get`.

        It executes one statement for every few hundred tasks that are not in memory.
        """
        found = self._versions.known_among(tenant, task_ids)
        if unknown := [task for task in task_ids if task not in found]:
            stamps = {task: self._versions.stamp(tenant, task) for task in unknown}
            with self._database.read() as connection:
                read = {row.id: active_of(row) for row in active_rows(connection, tenant, unknown)}
            for task, active in read.items():
                self._versions.keep(TaskKey(tenant, task), active, stamps[task])
            found |= read
        return found

    def known(self, key: TaskKey) -> Active | None:
        """Returns the same as `get` if it is in memory, else None. Never blocks."""
        return self._versions.known(key)

    def by_backbone(self, tenant: str | None = None) -> dict[BackboneRef, int]:
        """Returns, for each backbone in use, the number of tasks whose active version uses it.

        Args:
            tenant: whose tasks count; None for those of all tenants, who share the bundles.
        """
        backbone = (versions.c.bundle, versions.c.backbone_sha256)
        query = select(*backbone, func.count().label("used")).join_from(tasks, versions, ACTIVE).group_by(*backbone)
        if tenant is not None:
            query = query.where(tasks.c.tenant == tenant)
        with self._database.read() as connection:
            return {BackboneRef(row.bundle, row.backbone_sha256): int(row.used) for row in connection.execute(query)}

    def by_bundle(self) -> dict[str, int]:
        """Returns the same by bundle: tasks count whichever of the bundle's files they use."""
        used: Counter[str] = Counter()
        for backbone, count in self.by_backbone().items():
            used[backbone.bundle] += count
        return dict(used)

    def newest_bundle(self) -> str | None:
        """Returns the bundle of the newest task's active version, of any tenant; None if there is no task."""
        query = select(versions.c.bundle).join_from(tasks, versions, ACTIVE).order_by(tasks.c.ordinal.desc()).limit(1)
        with self._database.read() as connection:
            bundle: str | None = connection.execute(query).scalar_one_or_none()
        return bundle

    def doubt(self, key: TaskKey) -> None:
        """Has `get` read the task anew: what is in memory turned out to be out of date. Never blocks."""
        self._versions.doubt(key)

    def forget(self, key: TaskKey) -> None:
        """Forgets what is in memory about the task, here and in the other processes of this server.

        Call it after every transaction that may have made, changed or removed the task, before anybody hears of the change.
        """
        self._versions.forget(key)
