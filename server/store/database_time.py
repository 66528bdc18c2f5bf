"""The time by the database's clock, which all servers that share the database have in common."""

from datetime import UTC, datetime

from sqlalchemy import Connection, func, select


def read_time(connection: Connection) -> datetime:
    """Returns the time now, not that at which the transaction began. A file of SQLite has the clock of its machine."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now
