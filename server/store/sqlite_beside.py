"""The database beside the server that has it open: for commands that change a few rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from server.store.audit_rows import record_act
from server.store.database import StoreError
from server.store.database_files import give_some
from server.store.failures import storage_failures
from server.store.schema import SchemaError, check_whole
from server.store.sqlite import engine_of, path_of
from server.store.tables import metadata

# The server alone moves the log into the database, and this leaves its few pages there. Before SQLite 3.51.3, two connections
# that move it at the same moment can corrupt the database.
_PRAGMAS = ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY", "wal_autocheckpoint = 0")
_ROOM = 2**20  # bytes: more than the rows of a few keys, written by pages
_FAILED = "the database cannot be used; nothing was changed"


class SharedDatabase:
    """Short transactions on a database that a server of this release has open. SQLite's own locks keep the two apart."""

    def __init__(self, path: Path, reader: Engine, writer: Engine) -> None:
        self._path = path
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
        database = cls(path_of(url), reader, writer)
        try:
            with database.read() as connection:
                check_whole(connection)
        except SchemaError as error:
            database.close()
            raise StoreError(f"the database {database._path} cannot be used: {error}") from error
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a connection to a snapshot. Raises StorageFailed if the database cannot be read."""
        with storage_failures(_FAILED), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self, *_tenants: str, removes: bool = False) -> Iterator[Connection]:  # noqa: ARG002 -- as `Database` has it
        """Yields a connection with a transaction, which is on disk when the block ends, with its row of the audit.

        Raises:
            StorageFailed: the database cannot be written.
        """
        with storage_failures(_FAILED), self._writer.begin() as connection:
            yield connection
            record_act(connection)

    def tell_change(self, connection: Connection, tenant: str, task: str) -> None:
        """Does nothing: the server looks for changes of the file."""

    def give_room(self) -> int:
        """Takes a little of the disk space that the server keeps for removing. Returns how many bytes a change may take."""
        give_some(self._path, _ROOM)
        return _ROOM

    def erase(self) -> bool:
        """Does nothing: the server alone moves the log, and then takes that space back."""
        return False

    def close(self) -> None:
        """Lets go of the database."""
        self._reader.dispose()
        self._writer.dispose()


class ReadOnlyDatabase:
    """Short readings of a database, whether or not a server has it open. No row changes, and a server can start meanwhile.

    SQLite may leave its empty log and its index beside the database, which the next server takes over.
    """

    def __init__(self, reader: Engine) -> None:
        self._reader = reader

    @classmethod
    def open(cls, url: str) -> "ReadOnlyDatabase":
        """Opens the database.

        Raises:
            StoreError: there is none, it cannot be used, or it is of an earlier release.
        """
        path = path_of(url)
        check_there(url)
        reader = engine_of(f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true", 1, "BEGIN", ("query_only = ON",))
        try:
            if not inspect(reader).has_table("audit"):
                raise StoreError(f"the database {path} is of an earlier release; start the server with this release first")
        except DBAPIError as error:
            raise StoreError(f"the database {path} cannot be used: {error.orig}") from error
        return cls(reader)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a connection to a snapshot. Raises StorageFailed if the database cannot be read."""
        with storage_failures(_FAILED), self._reader.connect() as connection:
            yield connection

    def close(self) -> None:
        """Lets go of the database."""
        self._reader.dispose()


def check_there(url: str) -> None:
    """Raises StoreError if there is no database, and makes none."""
    path = path_of(url)
    if not path.is_file():
        raise StoreError(f"there is no database {path}: is that the --data-dir of the server?")
