"""The databases that tests' stores are in: files of SQLite, or databases of a PostgreSQL server that starts on first use."""

import atexit
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, create_engine

from benchmarks.postgres_server import PostgresServer
from server.store.store import Store, sqlite_url
from server.store.tables import metadata

Kind = Literal["sqlite", "postgresql"]

_TEMPLATE = "headstart_template"
_kinds: list[Kind] = ["sqlite"]  # the last one holds
_made: dict[str, Path] = {}  # the databases of PostgreSQL, and the folders that they are of


def kind() -> Kind:
    """Returns where the running test's stores are."""
    return _kinds[-1]


def database_url(folder: Path) -> str:
    """Returns the URL of the folder's database, in PostgreSQL where the running test's stores are there. It may be new."""
    if kind() == "sqlite":
        return sqlite_url(folder)
    return _server().url(_create(folder, _TEMPLATE))


def begin_empty(folder: Path) -> None:
    """Gives the folder the database of a store without tasks, made for another one: migrating costs more than many tests do."""
    if kind() == "sqlite":  # PostgreSQL copies one on first use.
        shutil.copy(_empty(), folder)


@cache
def _empty() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="headstart-tests-"))
    atexit.register(shutil.rmtree, folder)
    Store.open(sqlite_url(folder)).close()
    return folder / "headstart.db"


def _create(folder: Path, template: str) -> str:
    """The name of the folder's database, which is made as a copy of another if there is none."""
    name = f"headstart_{zlib.crc32(str(folder.absolute()).encode()):08x}"
    server = _server()
    if name not in _made:
        with server.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode())
        _made[name] = folder.absolute()
    return name


def begin_in(chosen: Kind) -> None:
    """Puts stores there that are made outside any test: those of fixtures that several tests share, which last as long as we."""
    _kinds[0] = chosen


@contextmanager
def statements_in(folder: Path) -> Iterator[Connection]:
    """A transaction in the folder's database, beside the store."""
    engine = create_engine(database_url(folder))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def copy_database(source: Path, target: Path) -> None:
    """Copies the folder of a database that nothing uses, if it has one, and the database."""
    if source.exists():
        shutil.copytree(source, target)
    if kind() == "postgresql":
        _create(target, database_url(source).rpartition("/")[2])


@contextmanager
def nobody_writes(folder: Path) -> Iterator[None]:
    """Holds up whoever else writes into the folder's database."""
    with statements_in(folder) as connection:
        if kind() == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql(f"LOCK TABLE {', '.join(metadata.tables)} IN EXCLUSIVE MODE")
        yield


def lose_database(folder: Path) -> None:
    """Removes the folder's database under the servers that use it."""
    if kind() == "sqlite":
        for path in folder.glob("headstart.db*"):
            path.unlink()
    else:
        name = database_url(folder).rpartition("/")[2]
        with _server().connect() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        del _made[name]


def contents_of(folder: Path) -> list[bytes]:
    """The contents of the folder's files, at whatever depth; where databases are not among them, also each of their tables.

    Of PostgreSQL that is every row, not the files: it keeps dead rows until it vacuums (docs/security.md). The disk space that is
    kept for removing is left out: it is large, and nothing is ever written to it.
    """
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".reserve"]
    if kind() == "sqlite":
        return files
    databases = [name for name, of in _made.items() if of.is_relative_to(folder.absolute())]
    return files + [rows for name in databases for rows in _tables(name)]


def _tables(database: str) -> Iterator[bytes]:
    """The rows of each table, with texts and bytes as they are."""
    with _server().connect(database) as connection, connection.cursor() as cursor:
        for table in metadata.tables:
            with cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as rows:
                yield b"".join(map(bytes, rows))


@contextmanager
def stores_in(chosen: Kind) -> Iterator[None]:
    """Puts stores there, and at the end removes the databases that were made of PostgreSQL meanwhile."""
    _kinds.append(chosen)
    before = len(_made)
    try:
        yield
    finally:
        _kinds.pop()
        if new := list(_made)[before:]:
            with _server().connect() as connection:
                for name in new:
                    del _made[name]
                    connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@cache
def _server() -> PostgresServer:
    """This process's server, with an empty store to copy: migrating costs more than many tests do with it."""
    server = PostgresServer()
    atexit.register(server.close)
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {_TEMPLATE}".encode())
    Store.open(server.url(_TEMPLATE)).close()
    return server
