"""A SQLite file under the store: one process has it open, with one connection that writes and a few that read.

The processes that follow it only read.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from server.errors import StorageFailed
from server.store.audit_rows import note_recorded, record_act
from server.store.database import StoreError, StoreInUse, StoreSizes
from server.store.database_files import DatabaseFiles, FilesTaken, disk_is_full
from server.store.failures import FAILED, FULL, STOPPING, UNKNOWN, UNREAD, is_full, storage_failures
from server.store.schema import SchemaError, migrate
from server.store.sqlite import commit, empty_log, engine_of, path_of
from server.store.tables import PAGE_SIZE

_READERS = 8

_WRITER_PRAGMAS = (
    f"page_size = {PAGE_SIZE}",  # of a new file; the storage of images depends on it
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    # We promise that removed images are gone. Without this, their bytes would stay in the file's free pages. Its cost is
    # writing zeros, and only when something is deleted. `ErasableBlob` and `SqliteDatabase.erase` handle what it does not reach.
    "secure_delete = ON",
    # A statement with triggers keeps what it changes until it is done. In a file elsewhere, bytes of images could outlive their
    # removal, and there may be no folder that can be written to.
    "temp_store = MEMORY",
)

# A reader neither writes nor moves the WAL into the database. With SQLite before 3.51.3, two connections that move it at the same
# moment can corrupt the database.
_READER_PRAGMAS = ("query_only = ON", "wal_autocheckpoint = 0")

_PROVEN_SECONDS = 5.0  # a successful write proves for so long that the disk can be written to

_GONE = "the server's database file was removed or replaced while it ran; restart it with the right file"

_log = logging.getLogger(__name__)


class SqliteDatabase:
    """Transactions on one SQLite file. Thread-safe."""

    def __init__(self, writer: Engine | None, readers: Engine, files: DatabaseFiles, resources: ExitStack) -> None:
        self._own_writer = writer
        self._readers = readers
        self._files = files
        self._resources = resources
        self._writing = threading.Lock()
        self._closed = False
        self._removed_in_log = True  # A process that was killed may have left anything in the log.
        self._proven: float | None = None  # the time of the last successful write, if none has failed since

    @classmethod
    def open(cls, url: str, *, unfinished: bool = False) -> "SqliteDatabase":
        """Locks the file, creates it if there is none, and brings its schema up to date.

        Args:
            unfinished: whether it may be an unfinished copy.

        Raises:
            StoreInUse: another process has it open.
            StoreError: it is not a database that this release can use.
        """
        path = path_of(url)
        with ExitStack() as resources:  # Closed in reverse order. Closing the writer moves the WAL into the database.
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                files = resources.enter_context(DatabaseFiles.hold(path))
                writer = engine_of(url, 1, "BEGIN IMMEDIATE", _WRITER_PRAGMAS)
                resources.callback(writer.dispose)
                with writer.begin() as connection:
                    migrate(connection, unfinished=unfinished)
                files.remember()
            except FilesTaken:
                raise StoreInUse(
                    f"the database {path} is in use by another server; stop that one, or choose another --data-dir"
                ) from None
            except (OSError, DBAPIError, SchemaError) as error:
                reason = error.orig if isinstance(error, DBAPIError) else error
                full = "; its disk is full" if disk_is_full(path.parent) else ""
                raise StoreError(f"the database {path} cannot be used: {reason}{full}") from error
            readers = engine_of(url, _READERS, "BEGIN", _READER_PRAGMAS)
            resources.callback(readers.dispose)
            database = cls(writer, readers, files, resources.pop_all())
        try:
            database.erase()
        except StorageFailed as error:
            if not error.disk_full:
                database.close()
                raise StoreError(f"the database {path} cannot be written: {error.__cause__}") from error
        if not files.keep_room():
            _log.error("the disk of %s is full: nothing can be stored until there is room; reading and removing go on", path)
        return database

    @classmethod
    def follow(cls, url: str) -> "SqliteDatabase":
        """Opens the file to read what the process that holds it writes. Only `read` and `close` may be called.

        Raises:
            StoreError: there is no such file.
        """
        path = path_of(url)
        try:
            files = DatabaseFiles.watch(path)
        except OSError as error:
            raise StoreError(f"the database {path} cannot be read: {error.strerror}") from error
        with ExitStack() as resources:
            readers = engine_of(url, _READERS, "BEGIN", _READER_PRAGMAS)
            resources.callback(readers.dispose)
            return cls(None, readers, files, resources.pop_all())

    @property
    def _writer(self) -> Engine:
        if self._own_writer is None:
            raise RuntimeError("this process only reads the database")
        return self._own_writer

    def close(self) -> None:
        """Waits for the write under way, then lets go of the file."""
        with self._writing:
            self._closed = True
            self._resources.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a connection to a snapshot, as `Database.read` says."""
        with storage_failures(UNREAD):
            self._check_open()
            self._check_files(_GONE)  # A new connection would open another file.
            with self._readers.connect() as connection:
                yield connection

    @contextmanager
    def write(self, *_tenants: str, removes: bool = False, replaces: bool = False) -> Iterator[Connection]:
        """Yields a connection with a transaction, as `Database.write` says. Only one runs at a time, of whichever tenants."""
        with storage_failures(FAILED), self._writing:
            self._check_open()
            proven, self._proven = self._proven, None
            if not removes and not self._files.keep_room():
                raise StorageFailed(FULL, disk_full=True)
            # Also if the write fails: the disk may have written without confirming it.
            self._removed_in_log |= removes or replaces
            with self._writer.connect() as connection:
                try:
                    yield connection
                    recorded = record_act(connection)
                except DBAPIError:
                    raise
                except BaseException:
                    self._proven = proven  # The disk is not the cause.
                    raise
                self._check_files(_GONE)
                if not removes:
                    self._check_growth(connection)
                commit(connection)
            if recorded:
                note_recorded()
            self._check_files(UNKNOWN)
            self._proven = time.monotonic()

    def tell_change(self, connection: Connection, tenant: str, task: str, removed: Collection[int] = ()) -> None:
        """Does nothing: no other machine has the file, and processes on this one follow counters in memory."""

    def erase(self) -> bool:
        """Tries to move the write-ahead log into the database. Then no file holds the data that was removed before.

        Returns:
            False if readers of an older state, or another program that writes, prevented it for 0.1 s.

        Raises:
            StorageFailed: the database cannot be written.
        """
        with storage_failures(FAILED), self._writing:
            self._check_open()
            if self._removed_in_log:
                try:
                    emptied = empty_log(self._writer)
                except sqlite3.OperationalError as error:
                    # Recent additions may have to move from the log into the database, and the disk has no room for them.
                    if not is_full(error) or not self._files.give(self._files.log_size):
                        raise
                    emptied = empty_log(self._writer)
                self._removed_in_log = not emptied
            if not self._removed_in_log:
                self._files.keep_room()
            return not self._removed_in_log

    def give_room(self) -> int:
        """Gives up the disk space that is kept for removing, as `Database.give_room` says."""
        with self._writing:
            self._files.give(self._files.room)
            return self._files.room

    def check(self) -> None:
        """Checks that the database can be read and written, as `Database.check` says. It writes only if no write has just
        succeeded.
        """
        with storage_failures(FAILED), self._writing:
            self._check_open()
            self._check_files(_GONE)
            if self._proven is None or time.monotonic() - self._proven > _PROVEN_SECONDS:
                self._proven = None
                with self._writer.connect() as connection:
                    connection.exec_driver_sql("PRAGMA user_version = 0")  # It is 0 already, but its page is written.
                    commit(connection)
                self._proven = time.monotonic()
            if not self._files.keep_room() or self._files.free < self._files.room:
                raise StorageFailed(f"the disk is full: {self._files.free / 1e6:.1f} MB are free", disk_full=True)

    def sizes(self) -> StoreSizes:
        """Returns the sizes of the database's files. Raises StorageFailed if they are gone."""
        with storage_failures(_GONE):
            return self._files.sizes()

    def _check_open(self) -> None:
        if self._closed:  # An engine would connect again, although another process may own the file by now.
            raise StorageFailed(STOPPING)

    def _check_files(self, detail: str) -> None:
        """Refuses to go on if a file was removed or replaced: data written to a nameless file is lost with this process."""
        if name := self._files.replaced:
            _log.error("%s is not the file that this server opened: it was removed or replaced; stop the server", name)
            raise StorageFailed(detail, retry_after=None)

    def _check_growth(self, connection: Connection) -> None:
        """Refuses a log that would not fit into the database: after that, neither file could be written any more."""
        pages: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        if pages * PAGE_SIZE - self._files.size > self._files.free:
            raise StorageFailed(FULL, disk_full=True)
