"""The database beside the server that has it open: for commands that change a few rows."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from server.store.database import Database, StoreError, StoreInUse, engine_of, storage_failures
from server.store.tables import metadata

# The server alone moves the log into the database, and this leaves its few pages there. Before SQLite 3.51.3, two connections
# that move it at the same moment can corrupt the database.
_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "wal_autocheckpoint = 0")
_FAILED = "the database cannot be used; nothing was changed"


class SharedDatabase:
    """Short transactions on a database that a server of this release has open. SQLite's own locks keep the two apart."""

    def __init__(self, reader: Engine, writer: Engine) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    def open(cls, url: str) -> "SharedDatabase":
        """Opens the database of a running server.

        Raises:
            StoreError: it cannot be used, or the server is of another release.
        """
        reader, writer = engine_of(url, 1, "BEGIN", _PRAGMAS), engine_of(url, 1, "BEGIN IMMEDIATE", _PRAGMAS)
        try:
            there = set(inspect(reader).get_table_names())
        except DBAPIError as error:
            raise StoreError(f"the database cannot be used: {error.orig}") from error
        if not there.issuperset(metadata.tables):
            reader.dispose()
            raise StoreError("the server that has the database open is of an earlier release; restart it with this one")
        return cls(reader, writer)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a connection to a snapshot. Raises StorageFailed if the database cannot be read."""
        with storage_failures(_FAILED), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yields a connection with a transaction, which is on disk when the block ends.

        Raises:
            StorageFailed: the database cannot be written.
        """
        with storage_failures(_FAILED), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Lets go of the database."""
        self._reader.dispose()
        self._writer.dispose()


def open_beside(url: str) -> Database | SharedDatabase:
    """Opens the database, whether or not a server has it open.

    Raises:
        StoreError: it cannot be used.
    """
    try:
        return Database.open(url)
    except StoreInUse:
        return SharedDatabase.open(url)
