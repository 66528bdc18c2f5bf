"""Opens databases by their URLs: a file of SQLite, or a database of a PostgreSQL server."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from server.store.database import WRONG_URL, Database, StoreError, StoreInUse
from server.store.postgres_database import PostgresDatabase
from server.store.shared_database import ReadOnlyDatabase, SharedDatabase, check_there
from server.store.sqlite_database import SqliteDatabase


def sqlite_url(data_dir: Path) -> str:
    """Returns the URL of the embedded database in `data_dir`."""
    return URL.create("sqlite", database=str(data_dir.absolute() / "headstart.db")).render_as_string()


def is_shared(url: str) -> bool:
    """Returns whether servers on several machines may share the database. Raises StoreError if the URL is none."""
    try:
        return make_url(url).get_backend_name() == "postgresql"
    except (ArgumentError, ValueError) as error:  # ValueError: the port is no number
        raise StoreError(WRONG_URL) from error


def open_database(url: str) -> Database:
    """Opens a database to read and write it. Creates a SQLite file if there is none, and brings the schema up to date.

    Raises:
        StoreInUse: another process has the file open.
        StoreError: it cannot be used.
    """
    return PostgresDatabase.open(url) if is_shared(url) else SqliteDatabase.open(url)


def follow_database(url: str) -> Database:
    """Opens a database to read what another process of this server writes.

    Raises:
        StoreError: there is no such database.
    """
    return PostgresDatabase.connect(url) if is_shared(url) else SqliteDatabase.follow(url)


def open_beside(url: str, *, creates: bool = False) -> Database | SharedDatabase:
    """Opens a database to change a few rows, whether or not a server has it open.

    Args:
        creates: whether to make a SQLite file where there is none.

    Raises:
        StoreError: it cannot be used.
    """
    if is_shared(url):
        return PostgresDatabase.open(url)
    if not creates:
        check_there(url)
    try:
        return SqliteDatabase.open(url)
    except StoreInUse:
        return SharedDatabase.open(url)


def read_beside(url: str) -> PostgresDatabase | ReadOnlyDatabase:
    """Opens a database to read a few rows, whether or not a server has it open.

    Raises:
        StoreError: there is none, it cannot be used, or it is of an earlier release.
    """
    return PostgresDatabase.open_to_read(url) if is_shared(url) else ReadOnlyDatabase.open(url)
