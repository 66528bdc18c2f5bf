"""The examples of tasks: their images, and the support sets of versions."""

import sys
from collections.abc import Sequence

from sqlalchemy import select

from models.heads.head import Head
from server.errors import ExampleNotFound
from server.ids import cursor_after, read_cursor
from server.store.database import Database
from server.store.images import ImageStore
from server.store.records import ExampleImage, ExampleInfo, ImageObject, NewExample, Task, TaskKey
from server.store.statements import belongs_to, find_version, read_task, support_ids
from server.store.support_records import PartlyEmbedded, Support
from server.store.support_sets import read_embedded, read_example, read_examples, read_images, read_support
from server.store.tables import examples, versions


class ExampleStore:
    """The stored examples. Thread-safe; `server.store.store.Store` says what holds for every call."""

    def __init__(self, database: Database, images: ImageStore) -> None:
        self._database = database
        self._images = images

    def support(self, key: TaskKey, version: int) -> Support:
        """Returns the support set of a version with the embeddings by its own backbone, without images.

        Raises:
            VersionNotFound: the task has no such version.
            BackboneUnavailable: embeddings by that backbone are missing. No call of this store leads to that.
        """
        with self._database.read() as connection:
            return read_support(connection, key, version)

    def page(
        self, key: TaskKey, cursor: str | None, limit: int, negatives: bool | None = None
    ) -> tuple[list[ExampleInfo], str | None]:
        """Returns a page of at most `limit` examples of the active version, oldest first, and the cursor of the next page.

        A cursor stays valid while the support set changes: it names an example, not a position.

        Args:
            negatives: whether those without a class are wanted, or the others; None for all.

        Raises:
            InvalidRequest: the cursor did not come from here.
        """
        after = "" if cursor is None else read_cursor(cursor)
        with self._database.read() as connection:
            active = read_task(connection, key).version.number
            # One more than asked for shows whether there is another page.
            found = read_examples(connection, key, active, after, limit + 1, negatives)
        return found[:limit], cursor_after(found[limit - 1].id) if len(found) > limit else None

    def whole(self, key: TaskKey) -> tuple[Task, Head, list[ExampleInfo]]:
        """Returns a task, and the head and all examples of its active version, the oldest first."""
        with self._database.read() as connection:
            task = read_task(connection, key)
            number = task.version.number
            data: bytes = find_version(connection, key, number, versions.c.head).head
            found = read_examples(connection, key, number, "", sys.maxsize, None)
        return task, Head.from_bytes(data), found

    def embedded(self, key: TaskKey, version: int, backbone_sha256: str) -> PartlyEmbedded:
        """Returns the support set of a version with the embeddings by one backbone, the version's own or another.

        Raises:
            VersionNotFound: the task has no such version.
        """
        with self._database.read() as connection:
            return read_embedded(connection, key, version, backbone_sha256)

    def images(self, key: TaskKey, example_ids: Sequence[str]) -> list[ExampleImage]:
        """Returns the images of these examples, of any version, in the order of their ids.

        Raises:
            ExampleNotFound: the task does not have one of them, or no longer has it.
            ImageNotKept: the image of one of them was not kept, only its embedding.
        """

        def read() -> list[tuple[str, bytes | ImageObject]]:
            with self._database.read() as connection:
                return read_images(connection, key, example_ids)

        return [ExampleImage(id_, image) for id_, image in self._images.fetch(read)]

    def get(self, key: TaskKey, version: int, example_id: str) -> NewExample:
        """Returns an example of a version, with the embedding by the version's backbone.

        Its image is None if it lies in the object store.

        Relabelling gives an example another id. If the version has the image under another id, that example is returned.

        Raises:
            VersionNotFound: the task has no such version.
            ExampleNotFound: the version does not have that image.
        """
        with self._database.read() as connection:
            return read_example(connection, key, version, example_id)

    def image(self, key: TaskKey, example_id: str) -> tuple[bytes, str]:
        """Returns the image of an example as it was sent, and its media type.

        Raises:
            ExampleNotFound: the active version has no such example.
            ImageNotKept: the image was not kept, only its embedding.
        """

        def read() -> list[tuple[str, bytes | ImageObject]]:
            query = select(examples.c.media_type).where(belongs_to(examples, key), examples.c.id == example_id)
            with self._database.read() as connection:
                active = read_task(connection, key).version.number
                if example_id not in support_ids(connection, key, active):
                    raise ExampleNotFound(example_id)
                ((_, image),) = read_images(connection, key, [example_id])
                return [(connection.execute(query).scalar_one(), image)]

        ((media_type, image),) = self._images.fetch(read)
        return image, media_type
