"""The choices that hold for all servers which share a database."""

from sqlalchemy import delete, insert, select

from server.store.database import Database
from server.store.tables import choices

_DEFAULT_BUNDLE = "default-bundle"


class Choices:
    """The choices. Thread-safe; `server.store.store.Store` says what holds for every call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def default_bundle(self) -> str | None:
        """Returns the id of the bundle that new tasks get; None if none was chosen."""
        with self._database.read() as connection:
            return connection.scalars(select(choices.c.value).where(choices.c.name == _DEFAULT_BUNDLE)).one_or_none()

    def choose_default_bundle(self, id_: str) -> None:
        """Chooses it."""
        with self._database.write("") as connection:
            connection.execute(delete(choices).where(choices.c.name == _DEFAULT_BUNDLE))
            connection.execute(insert(choices).values(name=_DEFAULT_BUNDLE, value=id_))
