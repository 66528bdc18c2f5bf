"""The store: tasks, their examples and versions, refreshes, and what is kept for retries."""

from pathlib import Path

from sqlalchemy import URL, literal, select

from server.store.active_tasks import ActiveTasks
from server.store.database import Database, StoreError, StoreInUse
from server.store.database_files import StoreSizes
from server.store.examples import ExampleStore
from server.store.records import Replay
from server.store.refreshes import RefreshStore
from server.store.replays import read_replay
from server.store.tables import tasks
from server.store.tasks import TaskStore

__all__ = ["Store", "StoreError", "StoreInUse", "sqlite_url"]


def sqlite_url(data_dir: Path) -> str:
    """The URL of the embedded database in `data_dir`."""
    return URL.create("sqlite", database=str(data_dir.absolute() / "headstart.db")).render_as_string()


class Store:
    """What the server remembers. Thread-safe. Each call of its parts but `active.known` blocks for one transaction; what it
    wrote is on disk. What belongs to another tenant does not exist.

    Attributes:
        tasks: the tasks and their versions.
        examples: the examples of tasks, and the support sets that versions have of them.
        active: the active version of each task.
        refreshes: the refreshes.

    Raises:
        TaskNotFound: from every such call that is given a task's key, if there is no such task.
        StorageFailed: from every such call, if the disk fails; nothing is half written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.active = ActiveTasks(database)
        self.tasks = TaskStore(database, self.active)
        self.examples = ExampleStore(database)
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

    def erase(self) -> bool:
        """Whether no file holds a byte any more of what was removed before; to be called again where it is not so yet."""
        return self._database.erase()

    def replay(self, tenant: str, key: str) -> Replay | None:
        """What came of the request under an idempotency key within the last 24 hours, if anything."""
        with self._database.read() as connection:
            return read_replay(connection, tenant, key)
