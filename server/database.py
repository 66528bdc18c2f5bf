"""The database under the store: this process alone on the file, one connection that writes, a few that read."""

import fcntl
import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server.errors import StorageFailed
from server.tables import PAGE_SIZE

_READERS = 8
_BUSY_MS = 5_000  # Only a tool beside the server can hold a lock against us, such as one that makes a backup.

_ERASE_MS = 100  # Writes wait meanwhile, so whoever erases tries again rather than wait longer.

_WRITER_PRAGMAS = (
    f"page_size = {PAGE_SIZE}",  # of a file yet to be made; how images are stored rests on it
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    # Removing is a promise about people's images, and without this their bytes would stay in the file's free pages. It costs
    # writing zeros, and only where something is deleted. What it does not reach, `ErasableBlob` and `Database.erase` see to.
    "secure_delete = ON",
)

# A reader neither writes nor moves the WAL into the database: with SQLite before 3.51.3, two connections that do so at
# the same moment can corrupt it.
_READER_PRAGMAS = ("query_only = ON", "wal_autocheckpoint = 0")

_log = logging.getLogger(__name__)


class StoreError(Exception):
    """The store cannot be opened; the message is one line for whoever starts the server."""


class StoreInUse(StoreError):
    """Another process has the same database open."""


class Database:
    """Transactions on one SQLite file. Thread-safe."""

    def __init__(self, writer: Engine, readers: Engine, resources: ExitStack) -> None:
        self._writer = writer
        self._readers = readers
        self._resources = resources
        self._writing = threading.Lock()
        self._closed = False
        self._removed_in_log = True  # The log of a process that was killed may hold anything.

    @classmethod
    def open(cls, url: str) -> "Database":
        """Locks the file, creating it where there is none, and brings its schema up to date.

        Raises:
            StoreInUse: another process has it open.
            StoreError: it is not a database that this release can use.
        """
        path = _path(url)
        with ExitStack() as resources:  # Closed from the last to the first: the WAL is folded in when the writer goes.
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                resources.enter_context(_locked(path))
                writer = _engine(url, 1, "BEGIN IMMEDIATE", _WRITER_PRAGMAS)
                resources.callback(writer.dispose)
                with writer.begin() as connection:
                    _migrate(connection)
            except (OSError, DBAPIError, CommandError) as error:
                reason = error.orig if isinstance(error, DBAPIError) else error
                raise StoreError(f"the database {path} cannot be used: {reason}") from error
            readers = _engine(url, _READERS, "BEGIN", _READER_PRAGMAS)
            resources.callback(readers.dispose)
            _note_version()
            database = cls(writer, readers, resources.pop_all())
        try:
            database.erase()
        except StorageFailed as error:
            database.close()
            raise StoreError(f"the database {path} cannot be written: {error.__cause__}") from error
        return database

    def close(self) -> None:
        """Waits for the write under way, then lets go of the file."""
        with self._writing:
            self._closed = True
            self._resources.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot: every statement in it sees the same state.

        Raises:
            StorageFailed: it cannot be read.
        """
        with _storage_failures():
            self._check_open()
            with self._readers.connect() as connection:
                yield connection

    @contextmanager
    def write(self, *, removes: bool = False) -> Iterator[Connection]:
        """A transaction: on disk when the block is left, or, if an exception leaves it, without a trace. One at a time.

        Args:
            removes: whether it removes what `erase` is to be called for.

        Raises:
            StorageFailed: it cannot be written, for want of space or another reason.
        """
        with _storage_failures(), self._writing:
            self._check_open()
            self._removed_in_log |= removes  # Also if it fails: a disk may fail to say that it has written.
            with self._writer.begin() as connection:
                yield connection

    def erase(self) -> bool:
        """Tries to empty the write-ahead log into the database: then what was removed before is in no file any more.

        Returns:
            False if readers of an older state, or another program that writes, were in the way for 0.1 s.

        Raises:
            StorageFailed: it cannot be written.
        """
        with _storage_failures(), self._writing:
            self._check_open()
            if self._removed_in_log:
                self._removed_in_log = not _empty_log(self._writer)
            return not self._removed_in_log

    def _check_open(self) -> None:
        if self._closed:  # An engine would connect again, and by now another process may own the file.
            raise StorageFailed("the server is stopping")


@contextmanager
def _storage_failures() -> Iterator[None]:
    """Turns what the disk or the database does to us into StorageFailed; our own mistakes pass."""
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
        _log.exception("the database failed")
        raise StorageFailed("the server's storage failed; try again later") from error


def _path(url: str) -> Path:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite" or parsed.host or parsed.database in {None, "", ":memory:"}:
        raise StoreError("the database URL must be sqlite:/// and the path of a file")
    return Path(str(parsed.database)).absolute()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock beside the database. It goes with the process, however that ends."""
    with path.with_name(f"{path.name}.lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUse(
                f"the database {path} is in use by another server; stop that one, or choose another --data-dir"
            ) from None
        yield


def _engine(url: str, connections: int, begin: str, pragmas: tuple[str, ...]) -> Engine:
    # `isolation_level=None` keeps the driver from starting transactions by its own rules, so that `begin` starts each of them.
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"isolation_level": None, "timeout": _BUSY_MS / 1000},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "server:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _empty_log(writer: Engine) -> bool:
    """Whether the log is empty now. Past SQLAlchemy, which would begin a transaction first."""
    with closing(writer.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_ERASE_MS}")
        try:
            busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            cursor.close()
    return not busy


def _note_version() -> None:
    if sqlite3.sqlite_version_info < (3, 51, 3):
        _log.info(
            "SQLite %s can corrupt a WAL with several writers (fixed in 3.51.3); here one connection writes, so it is safe",
            sqlite3.sqlite_version,
        )
