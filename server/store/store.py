"""The store: tasks, their examples and versions, refreshes, and the records kept for retries."""

from collections.abc import Callable, Sequence

from sqlalchemy import func, literal, select

from server.changes import Changes
from server.context import note_change
from server.store.active_tasks import ActiveTasks
from server.store.audit import AuditStore
from server.store.captures import CaptureStore
from server.store.choices import Choices
from server.store.database import Database, StoreError, StoreInUse, StoreSizes
from server.store.event_records import EventBounds
from server.store.events import EventStore
from server.store.examples import ExampleStore
from server.store.images import ImageStore
from server.store.keys import OF_KEYS, KeyStore
from server.store.object_store import ObjectStore
from server.store.opening import follow_database, open_database, sqlite_url
from server.store.postgres_database import PostgresDatabase
from server.store.quotas import QuotaStore
from server.store.records import Replay, TaskKey
from server.store.refresh_work import RefreshWork
from server.store.refreshes import RefreshStore
from server.store.replays import read_replay
from server.store.shared_changes import SharedChanges
from server.store.shared_rates import SharedRates
from server.store.tables import changes, tasks
from server.store.tasks import TaskStore

__all__ = ["Store", "StoreError", "StoreInUse", "sqlite_url"]

_BOUNDS = EventBounds()
# After this a process that follows another takes the database for away. It is longer than replacing that process takes.
_SILENT_SECONDS = 10.0


class Store:
    """The store: everything that the server remembers. Thread-safe.

    Each call of its parts except `active.known` blocks for one transaction. When it returns, what it wrote is on disk. Data of
    another tenant is treated as if it did not exist.

    Attributes:
        tasks: the tasks and their versions.
        examples: the examples of tasks, and the support sets that versions have of them.
        active: the active version of each task.
        captures: the captured predictions of tasks.
        images: the images outside the database.
        events: what happened to tasks.
        refreshes: the refreshes.
        refresh_work: the work on refreshes.
        keys: the API keys.
        audit: who did what.
        quotas: what tenants and keys may bring and store.
        choices: what was chosen for all servers; None where no other server can share the database.
        is_shared: whether other servers may share the database.
        rates: what servers tell each other of rates; None where no other server can share the database.

    Raises:
        TaskNotFound: from every such call that takes a task's key, if there is no such task.
        StorageFailed: from every such call, if the disk fails; nothing is half written.
    """

    def __init__(
        self, database: Database, changes: Changes, bounds: EventBounds = _BOUNDS, objects: ObjectStore | None = None
    ) -> None:
        self._database = database
        self.images = ImageStore(database, objects)
        self._changes = changes
        shared = database if isinstance(database, PostgresDatabase) else None
        self.is_shared = shared is not None
        self.choices = Choices(shared) if shared else None
        self.rates = SharedRates(shared) if shared else None
        self.active = ActiveTasks(database, changes)
        self.events = EventStore(database, bounds)
        self.tasks = TaskStore(database, self.active, self.events)
        self.examples = ExampleStore(database, self.images)
        self.captures = CaptureStore(database, self.active, self.events, self.images)
        self.refreshes = RefreshStore(database)
        self.refresh_work = RefreshWork(database, shared=self.is_shared)
        self.keys = KeyStore(database)
        self.audit = AuditStore(database)
        self.quotas = QuotaStore(database)

    @classmethod
    def open(
        cls,
        url: str,
        bounds: EventBounds = _BOUNDS,
        changes: Changes | None = None,
        images_url: str | None = None,
    ) -> "Store":
        """Opens the database to read and write it. Creates it if there is none, and brings its schema up to date.

        Args:
            changes: counts what this process changes, for others that follow it; None if there are none.
            images_url: of the object store that new images go to; None if they go to the database.

        Raises:
            StoreInUse: another process has it open.
            StoreError: it cannot be used, or the object store cannot.
        """
        objects = None if images_url is None else ObjectStore.open(images_url)
        store = cls(open_database(url), changes or Changes(), bounds, objects)
        try:
            store.images.open()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def follow(cls, url: str, changes: Changes) -> "Store":
        """Opens the database to read what another process writes.

        Args:
            changes: what that process counts.

        Raises:
            StoreError: there is no such database.
        """
        database = follow_database(url)
        if isinstance(database, PostgresDatabase):
            database.seems_away = lambda: changes.are_silent(_SILENT_SECONDS)
        return cls(database, changes)

    def hear(
        self, on_change: Callable[[TaskKey, Sequence[int]], None], on_keys: Callable[[], None], on_gap: Callable[[], None]
    ) -> SharedChanges | None:
        """Returns what reads of changes by other servers; None where no other server can share the database.

        Args:
            on_change, on_gap: as of `SharedChanges`. What is in memory here is out of date already when they are called.
            on_keys: reads the keys. It is called when another server has changed some, and after a gap.
        """
        if not isinstance(self._database, PostgresDatabase):
            return None

        def changed(key: TaskKey, removed: Sequence[int]) -> None:
            if key == OF_KEYS:
                on_keys()
            else:
                self.active.forget(key)
                on_change(key, removed)

        def missed() -> None:
            self._changes.count_all()
            on_gap()
            on_keys()

        return SharedChanges(self._database, self._changes, changed, missed)

    def close(self) -> None:
        """Lets go of the database and the object store; later calls raise StorageFailed."""
        self.images.close()
        self._database.close()

    @property
    def check_writes(self) -> bool:
        """True if `check` writes, and so comes after the changes that are under way."""
        return not self.is_shared

    def check(self) -> None:
        """Checks that the database can be read and written.

        Raises:
            StorageFailed: it cannot; with `disk_full` if the only reason is lack of space.
        """
        with self._database.read() as connection:  # `SELECT 1` alone would never touch the file.
            connection.execute(select(literal(1)).select_from(tasks).limit(1)).all()
        self._database.check()

    def sizes(self) -> StoreSizes:
        """Returns the size of the database and the space it may still take."""
        return self._database.sizes()

    def erase(self) -> bool:
        """Tries to clear the files of all data that was removed before.

        Returns:
            Whether no file holds a byte of it any more. If not, call it again later.
        """
        return self._database.erase()

    def replay(self, tenant: str, key: str) -> Replay | None:
        """Returns the result of the request under an idempotency key if it was answered in the last 24 hours, else None."""
        with self._database.read() as connection:
            replay = read_replay(connection, tenant, key)
            if replay is not None and connection.dialect.name == "postgresql":
                last = connection.scalars(select(func.max(changes.c.transaction)).where(changes.c.tenant == tenant)).one()
                note_change(last or 0)  # The answer tells of a change, as the first did.
            return replay
