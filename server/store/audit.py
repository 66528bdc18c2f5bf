"""The audit in the database: rows are added, read in their order, and leave when they are too old."""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, delete, or_, select, tuple_

from server.audit import AuditRow, acting
from server.store.audit_rows import add_rows
from server.store.tables import XMAX, XMIN, audit

_PAGE = 1000  # rows of one reading: a longer one would hold back the erasing of removed data
_PART = 10_000  # rows that leave in one transaction
_COLUMNS = [audit.c[field.name] for field in fields(AuditRow)]


class Place(NamedTuple):
    """The place of a reader of new rows.

    Attributes:
        transaction: that of the last row that it has read; 0 on SQLite.
        number: of that row.
        restored_from, restored_to: rows up to this number, of transactions from this one on, are no new ones. They were restored
            from another PostgreSQL server, whose ids of transactions were greater.
    """

    transaction: int = 0
    number: int = 0
    restored_from: int = 0
    restored_to: int = 0


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The conditions that wanted rows fulfil.

    Attributes:
        since: the earliest time; None for any.
        tenant, key: of the caller; None for any.
        action: a pattern with `*` and `?`; None for any.
    """

    since: datetime | None = None
    tenant: str | None = None
    key: str | None = None
    action: str | None = None


class Reads(Protocol):
    """The part of `server.store.database.Database` that reading the audit takes."""

    def read(self) -> AbstractContextManager[Connection]: ...


class ReadWrites(Reads, Protocol):
    """The part of `server.store.database.Database` that the audit takes."""

    def write(self, *tenants: str) -> AbstractContextManager[Connection]: ...


class AuditStore:
    """The stored audit. Thread-safe; each call blocks for one transaction.

    Raises:
        StorageFailed: from every method, if the disk fails; nothing is half written.
    """

    def __init__(self, database: ReadWrites) -> None:
        self._database = database

    def add(self, rows: Sequence[AuditRow]) -> None:
        """Adds rows in their order."""
        with self._database.write() as connection:
            add_rows(connection, rows)

    def begin(self) -> None:
        """Records that the change that is under way begins: for one of something else than the database."""
        if act := acting.get():
            act.outcome = "begun"
        with self._database.write():
            pass

    def end(self) -> Place:
        """Returns the place after the last row."""
        with self._database.read() as connection:
            last = select(audit.c.number).order_by(audit.c.number.desc()).limit(1)
            if connection.dialect.name != "postgresql":
                return Place(number=connection.execute(last).scalar_one_or_none() or 0)
            earliest, next_one = connection.execute(select(XMIN, XMAX)).one()
            restored = connection.execute(last.where(audit.c.transaction >= next_one)).scalar_one_or_none()
            return Place(earliest, 0, next_one, restored or 0)

    def after(self, place: Place) -> tuple[list[tuple[int, AuditRow]], Place]:
        """Returns the rows after a place with their numbers, and the place after them. There may be more.

        Where several servers store rows, one of a transaction that takes long may have a low number and come late. So rows are
        passed in the order of transactions, and only those of transactions before which none is still under way.
        """
        query = select(audit.c.number, audit.c.transaction, *_COLUMNS).limit(_PAGE)
        with self._database.read() as connection:
            if connection.dialect.name == "postgresql":
                order = (audit.c.transaction, audit.c.number)
                query = query.where(tuple_(*order) > place[:2], audit.c.transaction < XMIN).order_by(*order)
                query = query.where(or_(audit.c.transaction < place.restored_from, audit.c.number > place.restored_to))
            else:
                query = query.where(audit.c.number > place.number).order_by(audit.c.number)
            rows = connection.execute(query).all()
        end = place._replace(transaction=rows[-1].transaction, number=rows[-1].number) if rows else place
        return [(row.number, AuditRow(*row[2:])) for row in rows], end

    def trim(self, days: int) -> None:
        """Removes the rows that are older than so many days."""
        old = audit.c.time < datetime.now(UTC) - timedelta(days=days)
        some = select(audit.c.number).where(old).limit(_PART)
        while True:
            with self._database.read() as connection:
                if connection.execute(some.limit(1)).one_or_none() is None:
                    return
            with self._database.write() as connection:
                connection.execute(delete(audit).where(audit.c.number.in_(some.scalar_subquery())))


def rows_of(database: Reads, wanted: AuditFilter) -> Iterator[tuple[int, AuditRow]]:
    """Yields the wanted rows with their numbers, in their order. No transaction is open while it waits for the next call.

    Raises:
        StorageFailed: they cannot be read.
    """
    number = 0
    while page := _page(database, number, wanted):
        yield from page
        number = page[-1][0]


def line_of(number: int, row: AuditRow) -> dict[str, str | int | None]:
    """Returns what a line of JSON tells of a row."""
    return {"number": number, **asdict(row), "time": row.time.isoformat(timespec="milliseconds")}


def _page(database: Reads, after: int, wanted: AuditFilter) -> list[tuple[int, AuditRow]]:
    query = select(audit.c.number, *_COLUMNS).where(audit.c.number > after).order_by(audit.c.number).limit(_PAGE)
    if wanted.since is not None:
        query = query.where(audit.c.time >= wanted.since)
    if wanted.tenant is not None:
        query = query.where(audit.c.tenant == wanted.tenant)
    if wanted.key is not None:
        query = query.where(audit.c.key == wanted.key)
    if wanted.action is not None:
        query = query.where(audit.c.action.like(_like(wanted.action), escape="\\"))
    with database.read() as connection:
        return [(row.number, AuditRow(*row[1:])) for row in connection.execute(query)]


def _like(pattern: str) -> str:
    """Returns a pattern with `*` and `?` as LIKE has it."""
    return re.sub(r"[%_\\]", r"\\\g<0>", pattern).replace("*", "%").replace("?", "_")
