"""Brings a database's schema up to date."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from server.store.choices import read_choice
from server.store.tables import metadata

UNFINISHED = "unfinished-copy-of"
"""The name in `choices` that marks a database as a copy that is not whole yet; the value is the source's URL."""


class SchemaError(Exception):
    """The schema cannot be brought up to date; the message is one line."""


def migrate(connection: Connection, *, unfinished: bool = False) -> None:
    """Runs the migrations that the database lacks, within the transaction of the connection.

    Args:
        unfinished: whether the database may be an unfinished copy.

    Raises:
        SchemaError: a later release has written the database, or it is an unfinished copy.
    """
    config = Config()
    config.set_main_option("script_location", "server.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(str(error).partition("\n")[0]) from error
    if connection.dialect.name == "postgresql":
        _compare_bytes(connection)
    if not unfinished:
        check_whole(connection)


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
