"""The examples of tasks: the support sets of versions, and images."""

from collections.abc import Sequence

from sqlalchemy import select

from server.errors import ExampleNotFound, ImageNotKept
from server.ids import cursor_after, read_cursor
from server.store.database import Database
from server.store.records import ExampleImage, ExampleInfo, NewExample, PartlyEmbedded, Support, TaskKey
from server.store.statements import read_task, support_ids
from server.store.support_sets import read_embedded, read_example, read_examples, read_images, read_support
from server.store.tables import examples


class ExampleStore:
    """The examples that there are. Thread-safe; `server.store.store.Store` says what holds for every call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def support(self, key: TaskKey, version: int) -> Support:
        """The support set of a version as its own backbone embeds it, without its images.

        Raises:
            VersionNotFound: the task has no such version.
            BackboneUnavailable: embeddings by that backbone are missing, which no call of this store leads to.
        """
        with self._database.read() as connection:
            return read_support(connection, key, version)

    def page(self, key: TaskKey, cursor: str | None, limit: int) -> tuple[list[ExampleInfo], str | None]:
        """A page of at most `limit` examples of the active version, oldest first, and the cursor of the next page.

        A cursor stays good while the support set changes: it marks a place among the examples, not a position.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        after = "" if cursor is None else read_cursor(cursor)
        with self._database.read() as connection:
            active = read_task(connection, key).version.number
            # One more than asked for tells whether there is another page.
            found = read_examples(connection, key, active, after, limit + 1)
        return found[:limit], cursor_after(found[limit - 1].id) if len(found) > limit else None

    def embedded(self, key: TaskKey, version: int, backbone_sha256: str) -> PartlyEmbedded:
        """The support set of a version as far as a backbone, be it the version's own or another, has embedded it.

        Raises:
            VersionNotFound: the task has no such version.
        """
        with self._database.read() as connection:
            return read_embedded(connection, key, version, backbone_sha256)

    def images(self, key: TaskKey, example_ids: Sequence[str]) -> list[ExampleImage]:
        """The images of these examples, of whichever versions, in the order of their ids.

        Raises:
            ExampleNotFound: the task has not, or no longer, one of them.
            ImageNotKept: of one of them there is only its embedding.
        """
        with self._database.read() as connection:
            return read_images(connection, key, example_ids)

    def get(self, key: TaskKey, version: int, example_id: str) -> NewExample:
        """An example of a version with all that is stored of it, its embedding that of the version's backbone. Of one that was
        relabelled since it had this id, what the version has of its image.

        Raises:
            VersionNotFound: the task has no such version.
            ExampleNotFound: the version has nothing of that image.
        """
        with self._database.read() as connection:
            return read_example(connection, key, version, example_id)

    def image(self, key: TaskKey, example_id: str) -> tuple[bytes, str]:
        """The image of an example as it was sent, and its media type.

        Raises:
            ExampleNotFound: the active version has no such example.
            ImageNotKept: there is only its embedding.
        """
        query = select(examples.c.image, examples.c.media_type).where(examples.c.tenant == key.tenant)
        with self._database.read() as connection:
            active = read_task(connection, key).version.number
            if example_id not in support_ids(connection, key, active):
                raise ExampleNotFound(example_id)
            row = connection.execute(query.where(examples.c.task == key.id, examples.c.id == example_id)).one()
        if row.image is None:
            raise ImageNotKept
        return row.image, row.media_type
