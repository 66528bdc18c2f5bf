"""Brings a database's schema up to date.

Alembic takes long to import, so it is imported where there is something to bring up to date.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect

from server.store.choices import read_choice
from server.store.tables import metadata

UNFINISHED = "unfinished-copy-of"
"""The name in `choices` that marks a database as a copy that is not whole yet; the value is the source's URL."""

_VERSIONS = Path(__file__).parent / "migrations" / "versions"


class SchemaError(Exception):
    """The schema cannot be brought up to date; the message is one line."""


def migrate(connection: Connection, *, unfinished: bool = False) -> None:
    """Runs the migrations that the database lacks, within the transaction of the connection.

    Args:
        unfinished: whether the database may be an unfinished copy.

    Raises:
        SchemaError: a later release has written the database, or it is an unfinished copy.
    """
    if _revision(connection) != _newest():
        _upgrade(connection)
    if connection.dialect.name == "postgresql":
        _compare_bytes(connection)
    if not unfinished:
        check_whole(connection)


def _revision(connection: Connection) -> str | None:
    """The number of the last migration that the database has had; None if it is new."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()


def _newest() -> str:
    """The number of the last migration that there is."""
    return max(path.name for path in _VERSIONS.glob("[0-9]*.py")).partition("_")[0]


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "server.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(str(error).partition("\n")[0]) from error


def check_whole(connection: Connection) -> None:
    """Raises SchemaError if the database is an unfinished copy."""
    if source := read_choice(connection, UNFINISHED):
        raise SchemaError(f"it is an unfinished copy of {source}; run the same headstart-server migrate again")


def _compare_bytes(connection: Connection) -> None:
    """Has texts compared byte by byte, as in SQLite and in Python. By the rules of a language ids would come in another order."""
    otherwise = connection.exec_driver_sql(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() "
        "AND data_type = 'character varying' AND collation_name IS DISTINCT FROM 'C'"
    ).all()
    for table, column in otherwise:
        if table in metadata.tables:
            connection.exec_driver_sql(f'ALTER TABLE {table} ALTER COLUMN "{column}" TYPE varchar COLLATE "C"')
