"""The content of a store's tables, told in a way that does not depend on the database."""

import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, Connection, LargeBinary, Select, Table, func, select, tuple_, type_coerce

from server.store.tables import ErasableBlob, metadata, usage

# Three tables are what running servers tell each other. The rows of `choices` are copied last, by `end_copy`.
_LEFT_OUT = {"changes", "spent", "refresh_leases", "choices"}

COPIED = [usage, *(table for table in metadata.sorted_tables if table is not usage and table.name not in _LEFT_OUT)]
"""The tables of a copy, each after those that its foreign keys and triggers need."""

_LARGE = {"image", "head"}  # columns of values of up to 10 MB
_FEW, _MANY = 4, 500  # rows that are in memory at once, of a table with such a column and of another

OnRows = Callable[[str, int, int], None]
"""Is told of a table, of how many further rows of it were handled, and how many bytes these have."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a table.

    Attributes:
        rows: their number.
        sha256: of all values in the order of the primary key, in hex.
    """

    rows: int
    sha256: str


def columns_of(table: Table) -> list[Column[Any]]:
    """Returns the columns that are copied and compared. The id of a transaction means nothing in another database."""
    return [column for column in table.c if column.name != "transaction"]


def rows_of(table: Table, after: Sequence[Any] = ()) -> Select[Any]:
    """Returns the query of a table's rows in the order of the primary key, which is read in parts.

    Args:
        after: the primary key of the row after which it begins; empty for all rows.
    """
    query = select(*columns_of(table)).order_by(*table.primary_key)
    if after:
        query = query.where(tuple_(*table.primary_key) > tuple_(*after))
    return query.execution_options(yield_per=_FEW if _LARGE & set(table.c.keys()) else _MANY)


def content_of(connection: Connection, table: Table, on_rows: OnRows) -> Content:
    """Reads a whole table."""
    rows, digest = 0, hashlib.sha256()
    documents = [isinstance(column.type, JSON) for column in columns_of(table)]
    for part in connection.execute(rows_of(table)).partitions():
        size = 0
        for row in part:
            for value, is_document in zip(row, documents, strict=True):
                kind, content = _encoded(value, is_document)
                digest.update(b"%b%d:" % (kind, len(content)))
                digest.update(content)
                size += len(content)
        rows += len(part)
        on_rows(table.name, len(part), size)
    return Content(rows, digest.hexdigest())


def sizes_of(connection: Connection) -> dict[str, tuple[int, int]]:
    """Returns for each table of a copy how many rows it has, and how many bytes its large values take."""
    sizes = {}
    for table in COPIED:
        blobs = [column for column in table.c if isinstance(column.type, LargeBinary | ErasableBlob)]
        lengths = [func.coalesce(func.sum(func.length(type_coerce(column, LargeBinary))), 0) for column in blobs]
        rows, *bytes_ = connection.execute(select(func.count(), *lengths).select_from(table)).one()
        sizes[table.name] = (rows, sum(map(int, bytes_)))
    return sizes


def _encoded(value: Any, is_document: bool) -> tuple[bytes, bytes]:
    """Returns the kind of a value, and its bytes, which do not depend on the database."""
    if value is None:
        return b"n", b""
    if is_document:
        return b"j", json.dumps(value).encode()
    kind, encode = _KINDS[type(value)]
    return kind, encode(value)


_KINDS: dict[type, tuple[bytes, Callable[[Any], bytes]]] = {
    bytes: (b"b", bytes),
    str: (b"s", str.encode),
    bool: (b"i", lambda value: b"%d" % value),
    int: (b"i", lambda value: b"%d" % value),
    float: (b"f", lambda value: struct.pack(">d", value)),
    datetime: (b"t", lambda value: value.astimezone(UTC).isoformat().encode()),
}
