"""Brings a database's schema up to date."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection


class SchemaError(Exception):
    """The schema cannot be brought up to date; the message is one line."""


def migrate(connection: Connection) -> None:
    """Runs the migrations that the database lacks, within the transaction of the connection.

    Raises:
        SchemaError: a later release has written the database.
    """
    config = Config()
    config.set_main_option("script_location", "server.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(str(error).partition("\n")[0]) from error
