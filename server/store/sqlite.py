"""Connections to a SQLite file, and how they end a transaction."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from server.errors import StorageFailed
from server.store.database import WRONG_URL, StoreError
from server.store.failures import UNKNOWN, sqlite_code

_BUSY_MS = 5_000  # Only a tool beside the server can hold a lock that we wait for, such as one that makes a backup.
_ERASE_MS = 100  # Writes wait meanwhile. So a caller of `erase` tries again later rather than waits longer here.

# After these errors of a commit SQLite had not written everything, so the change is not there. After others it may have written
# everything before the disk failed to confirm. Then the change may be there after a crash.
_NOT_WRITTEN = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY}

_log = logging.getLogger(__name__)


def path_of(url: str) -> Path:
    """Returns the path of a database's file. Raises StoreError if the URL names none."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite" or parsed.host or parsed.database in {None, "", ":memory:"}:
        raise StoreError(WRONG_URL)
    return Path(str(parsed.database)).absolute()


def engine_of(url: str, connections: int, begin: str, pragmas: tuple[str, ...]) -> Engine:
    """Returns an engine of at most so many connections, which run the pragmas first. Each transaction starts with `begin`."""
    # `isolation_level=None` keeps the driver from starting transactions by its own rules: `begin` starts each of them.
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


def commit(connection: Connection) -> None:
    """Commits. Raises StorageFailed if the commit fails and nobody can tell whether it was written."""
    try:
        connection.commit()
    except DBAPIError as error:
        if sqlite_code(error) in _NOT_WRITTEN:
            raise
        _log.exception("the database failed while it was writing")
        raise StorageFailed(UNKNOWN) from error


def empty_log(writer: Engine) -> bool:
    """Tries to empty the log; returns whether it is empty. It bypasses SQLAlchemy, which would begin a transaction first."""
    with closing(writer.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_ERASE_MS}")
        try:
            busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            cursor.close()
    return not busy
