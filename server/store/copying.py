"""Copies a store into another database, be either of SQLite or of PostgreSQL. A copy that was stopped goes on."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any

from sqlalchemy import JSON, Column, Connection, RowMapping, String, Table, bindparam, delete, insert, literal, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from server.errors import InvalidRequest
from server.store.choices import DEFAULT_BUNDLE, read_choice
from server.store.contents import COPIED, Content, OnRows, columns_of, content_of, rows_of
from server.store.database import Database, StoreError
from server.store.opening import open_database
from server.store.postgres_database import PostgresDatabase
from server.store.schema import UNFINISHED
from server.store.tables import audit, choices, usage

_BATCH_BYTES = 4 * 2**20  # of one transaction, at most one row more
_BATCH_ROWS = 1000


@contextmanager
def open_alone(url: str, *, unfinished: bool = False) -> Iterator[Database]:
    """Yields a database that no server uses meanwhile, with its schema up to date.

    Args:
        unfinished: whether it may be an unfinished copy.

    Raises:
        StoreInUse: a server uses it.
        StoreError: it cannot be used.
    """
    with (
        closing(open_database(url, unfinished=unfinished)) as database,
        database.alone() if isinstance(database, PostgresDatabase) else nullcontext(),
    ):
        yield database


def reading_all(database: Database) -> AbstractContextManager[Connection]:
    """Returns a context that yields a connection to one snapshot, and keeps commands from changing a SQLite file meanwhile.

    Raises:
        StorageFailed: the database cannot be read.
    """
    if isinstance(database, PostgresDatabase):
        return database.read()
    return database.write(removes=True)  # It could write, so no other can begin. One that removes may begin on a full disk.


def begin_copy(target: Database, source: str) -> None:
    """Marks an empty database as the unfinished copy of a source, which no server opens. Does nothing where it is marked so.

    Args:
        source: its URL, without a password.

    Raises:
        StoreError: the target has rows already, or is a copy of something else.
    """
    with target.write() as connection:
        marked = read_choice(connection, UNFINISHED)
        if marked == source:
            return
        if marked is not None:
            raise StoreError(f"the target is an unfinished copy of {marked}, not of {source}")
        for table in (*COPIED, choices):
            if connection.execute(select(literal(1)).select_from(table).limit(1)).first():
                raise StoreError(f"the target holds a store already: its table {table.name} is not empty")
        connection.execute(insert(choices).values(name=UNFINISHED, value=source))


def copy_rows(source: Connection, target: Database, on_rows: OnRows) -> None:
    """Copies the rows that the target lacks, in the order of their primary keys.

    Raises:
        StoreError: the target cannot hold a row.
        StorageFailed: one of the two fails. What was copied stays.
    """
    for table in COPIED:
        key = list(table.primary_key)
        with target.read() as connection:
            last = connection.execute(select(*key).order_by(*(column.desc() for column in key)).limit(1)).one_or_none()
        for rows, size in _batches(table, source.execute(rows_of(table, last or ())).mappings()):
            _insert(target, table, rows)
            on_rows(table.name, len(rows), size)


def _batches(table: Table, found: Iterable[RowMapping]) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Yields rows for one transaction each, and how many bytes they have."""
    rows: list[dict[str, Any]] = []
    size = 0
    for row in found:
        # Triggers count the usage. Tenants that have nothing any more have a row all the same.
        rows.append({name: 0 if table is usage and name != "tenant" else value for name, value in row.items()})
        size += sum(len(value) for value in row.values() if isinstance(value, bytes | str))
        if size >= _BATCH_BYTES or len(rows) == _BATCH_ROWS:
            yield rows, size
            rows, size = [], 0
    if rows:
        yield rows, size


def compare(source: Connection, target: Database, on_rows: OnRows) -> dict[str, tuple[Content, Content]]:
    """Reads both whole, and returns the contents of each table in the source and in the target.

    Raises:
        StorageFailed: one of the two cannot be read.
    """
    with target.read() as connection:
        return {table.name: (content_of(source, table, on_rows), content_of(connection, table, on_rows)) for table in COPIED}


def end_copy(source: Connection, target: Database) -> None:
    """Takes the mark away: servers may start with the copy. Its audit goes on after the last number that the source has given.

    All choices but that of a bundle, which is a file on SQLite, come along: by one a database knows its object store.

    Raises:
        StorageFailed: one of the two fails.
    """
    last = _last_number(source)
    others = source.execute(select(choices).where(choices.c.name.not_in({UNFINISHED, DEFAULT_BUNDLE}))).all()
    with target.write() as connection:
        if connection.dialect.name == "postgresql":
            if last:
                connection.execute(text("SELECT setval(pg_get_serial_sequence('audit', 'number'), :last)"), {"last": last})
        else:
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = 'audit'"))
            connection.execute(text("INSERT INTO sqlite_sequence VALUES ('audit', :last)"), {"last": last})
        connection.execute(delete(choices).where(choices.c.name == UNFINISHED))
        for row in others:
            connection.execute(insert(choices).values(name=row.name, value=row.value))


def _last_number(source: Connection) -> int:
    """Returns the last number of the audit that was given, also where its row has left."""
    if source.dialect.name == "postgresql":
        sequence: str = source.scalar(text("SELECT pg_get_serial_sequence('audit', 'number')")) or ""
        given = source.scalar(text(f"SELECT last_value FROM {sequence} WHERE is_called"))  # noqa: S608 - a name of the schema
    else:
        given = source.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = 'audit'"))
    return given or 0


def _exact(column: Column[Any]) -> TypeEngine[Any]:
    """Returns the type by which a column's values are copied as they are."""
    if isinstance(column.type, JSON):
        return JSON(none_as_null=True)  # A NULL stays one, and does not become the document `null`.
    return String() if isinstance(column.type, String) else column.type  # A text with NUL is refused, and not changed.


def _insert(target: Database, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts rows in one transaction. Raises StoreError, which names the first row that the target cannot hold."""
    statement = insert(table).values({column.name: bindparam(column.name, type_=_exact(column)) for column in columns_of(table)})
    if table is audit:
        statement = statement.values(transaction=0)  # as of SQLite: before every transaction of the target
    try:
        with target.write() as connection:
            connection.execute(statement, rows)
    except (DBAPIError, InvalidRequest) as error:
        if len(rows) > 1:
            for row in rows:
                _insert(target, table, [row])
            return
        key = ", ".join(f"{column.name} {rows[0][column.name]!r}" for column in table.primary_key)
        raise StoreError(f"the target cannot hold the row of {table.name} with {key}: {error.__cause__ or error}") from error
