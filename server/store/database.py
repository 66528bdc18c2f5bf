"""The interface of a database under the store, be it a file of SQLite or a database of PostgreSQL."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

WRONG_URL = "the database URL must be sqlite:/// and the path of a file, or postgresql://USER@HOST/NAME"


class StoreError(Exception):
    """The store cannot be opened; the message is one line for whoever starts the server."""


class StoreInUse(StoreError):
    """Another process has the same database open."""


@dataclass(frozen=True, slots=True)
class StoreSizes:
    """Sizes in bytes.

    Attributes:
        database: of the database.
        log: of its log; None where that is not this server's.
        free: free space on their disk, without what is kept for removing; None where that is not this server's.
    """

    database: int
    log: int | None = None
    free: int | None = None


class Database(Protocol):
    """Transactions on one database. Thread-safe."""

    def read(self) -> AbstractContextManager[Connection]:
        """Yields a connection to a snapshot: all its statements see the same state.

        Raises:
            StorageFailed: the database cannot be read.
        """

    def write(self, *tenants: str, removes: bool = False, replaces: bool = False) -> AbstractContextManager[Connection]:
        """Yields a connection with a transaction. Only one of a tenant runs at a time, whichever process it is of.

        When the block ends, the transaction is on disk. When an exception ends it, the transaction leaves no trace. The change
        that is under way gets its row of the audit in its first transaction.

        Args:
            tenants: those whose data it changes. Others' transactions need not wait.
            removes: whether the transaction removes something, so that `erase` must be called after it. Only then may it use
                the disk space that is kept for removing.
            replaces: whether it removes something and stores something else. Then `erase` must be called after it as well, but
                it may not use that space.

        Raises:
            StorageFailed: it cannot be written, because the disk is full or for another reason. If the database failed at the
                very end, the change may have been stored all the same; the detail then says so.
        """

    def tell_change(self, connection: Connection, tenant: str, task: str, removed: Collection[int] = ()) -> None:
        """Tells servers on other machines, when the transaction is committed, that a task was made, changed or removed.

        Args:
            removed: the numbers of its versions that are gone.
        """

    def erase(self) -> bool:
        """Tries to clear the database's files of what was removed before, as far as that is promised of this database.

        Returns:
            False if something prevented it for the moment.

        Raises:
            StorageFailed: the database cannot be written.
        """

    def give_room(self) -> int:
        """Gives up the disk space that is kept for removing, until `erase` has made room.

        Returns:
            The number of bytes that a removal may take.
        """

    def check(self) -> None:
        """Checks that the database can be read and written.

        Raises:
            StorageFailed: nothing can be stored now; with `disk_full` if the only reason is lack of space.
        """

    def sizes(self) -> StoreSizes:
        """Returns the sizes of the database. Raises StorageFailed if they cannot be told."""

    def close(self) -> None:
        """Waits for the write under way, then lets go of the database."""
