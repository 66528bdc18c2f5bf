"""The databases that tests' stores are in: files of SQLite, or databases of a PostgreSQL server that starts on first use."""

import atexit
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, create_engine

from benchmarks.postgres_server import PostgresServer
from server.store.store import Store, sqlite_url

Kind = Literal["sqlite", "postgresql"]

_TEMPLATE = "headstart_template"
_kinds: list[Kind] = ["sqlite"]  # the last one holds
_made: list[str] = []


def kind() -> Kind:
    """Returns where the running test's stores are."""
    return _kinds[-1]


def database_url(folder: Path) -> str:
    """Returns the URL of the folder's database, in PostgreSQL where the running test's stores are there. It may be new."""
    if kind() == "sqlite":
        return sqlite_url(folder)
    name = f"headstart_{zlib.crc32(str(folder.absolute()).encode()):08x}"
    if name not in _made:
        with _server().connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}".encode())
        _made.append(name)
    return _server().url(name)


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


@contextmanager
def stores_in(chosen: Kind) -> Iterator[None]:
    """Puts stores there, and at the end removes the databases that were made of PostgreSQL meanwhile."""
    _kinds.append(chosen)
    before = len(_made)
    try:
        yield
    finally:
        _kinds.pop()
        if new := _made[before:]:
            del _made[before:]
            with _server().connect() as connection:
                for name in new:
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
