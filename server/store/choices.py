"""The choices that hold for all servers which share a database."""

from sqlalchemy import Connection, delete, insert, select

from server.store.database import Database
from server.store.tables import choices

DEFAULT_BUNDLE = "default-bundle"
"""The name of the choice of the bundle that new tasks get."""


def read_choice(connection: Connection, name: str) -> str | None:
    """Returns what was chosen under a name; None if nothing was."""
    return connection.scalars(select(choices.c.value).where(choices.c.name == name)).one_or_none()


def write_choice(connection: Connection, name: str, value: str) -> None:
    """Chooses something under a name."""
    connection.execute(delete(choices).where(choices.c.name == name))
    connection.execute(insert(choices).values(name=name, value=value))


class Choices:
    """The choices. Thread-safe; `server.store.store.Store` says what holds for every call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def default_bundle(self) -> str | None:
        """Returns the id of the bundle that new tasks get; None if none was chosen."""
        with self._database.read() as connection:
            return read_choice(connection, DEFAULT_BUNDLE)

    def choose_default_bundle(self, id_: str) -> None:
        """Chooses the bundle that new tasks get."""
        with self._database.write("") as connection:
            write_choice(connection, DEFAULT_BUNDLE, id_)
