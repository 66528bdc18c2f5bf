"""The journey of a task out of the server: a zip of the active version, made image by image.

Its class folders are what `POST /v1/tasks` takes as an archive. The rest is hidden from that: `.negatives/` holds the images of
none of the classes, and `.headstart/` the head and its description.
"""

import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from models.heads.head import Head
from models.labels import labels_of
from server.errors import ImageNotKept
from server.journeys.archive_names import Names
from server.schemas.from_records import task_reply
from server.service import Service
from server.store.records import ExampleInfo, Task, TaskKey

_SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/heic": ".heic", "image/avif": ".avif"}
_NEGATIVES = ".negatives"
_AT_ONCE, _AT_ONCE_BYTES = 32, 4_000_000  # images that are read at once, which an object store answers in the time of one


@dataclass(frozen=True, slots=True, eq=False)
class TaskArchive:
    """The contents of a task's archive.

    Attributes:
        paths: of the examples, in their order: one in each class folder, so several for an example of several labels.
        folders: the labels of those folders that are not called like their class.
    """

    task: Task
    head: Head
    examples: Sequence[ExampleInfo]
    paths: Sequence[Sequence[str]]
    folders: dict[str, str]

    @property
    def file_name(self) -> str:
        """A name for the archive, after the task's."""
        return Names().free(self.task.name, ".zip")


async def plan_archive(service: Service, key: TaskKey) -> TaskArchive:
    """Returns what an archive of the task's active version holds.

    Raises:
        TaskNotFound: there is no such task.
        ImageNotKept: the image of an example was not kept.
        StorageFailed: the store cannot be read.
    """
    return await service.pools.in_thread(_plan, service, key)


async def archive_pieces(service: Service, planned: TaskArchive) -> AsyncIterator[bytes]:
    """Yields the archive, a member at a time, so that memory holds some 4 MB of it, or one larger image.

    Raises:
        TaskNotFound, ExampleNotFound: the task or an example was removed meanwhile. What was yielded is no archive.
        StorageFailed: the store cannot be read.
    """
    written = _written(service, planned)
    while (piece := await service.pools.in_images(next, written, None)) is not None:
        yield piece


def _plan(service: Service, key: TaskKey) -> TaskArchive:
    task, head, examples = service.store.examples.whole(key)
    for example in examples:
        if example.sha256 is None:
            raise ImageNotKept(f"example, {example.id}")
    folder_names, in_folder = Names(), {_NEGATIVES: Names()}
    folders: dict[str | None, str] = {None: _NEGATIVES}
    paths = []
    for example in examples:
        # The suffix says the image's format, which the file's own suffix may not.
        stem, suffix = PurePosixPath(example.file_name or example.id).stem, _SUFFIXES.get(example.media_type, "")
        own = []
        for label in labels_of(example.label) or (None,):
            if label is not None and label not in folders:
                folders[label] = folder_names.free(label)
                in_folder[folders[label]] = Names()
            own.append(f"{folders[label]}/{in_folder[folders[label]].free(stem, suffix)}")
        paths.append(own)
    called = {folder: label for label, folder in folders.items() if label is not None and folder != label}
    return TaskArchive(task, head, examples, paths, called)


def _written(service: Service, planned: TaskArchive) -> Iterator[bytes]:
    window = _Window()
    with zipfile.ZipFile(window, "w") as archive:
        archive.writestr(zipfile.ZipInfo(".headstart/task.json"), _description(planned))
        archive.writestr(zipfile.ZipInfo(".headstart/head.safetensors"), planned.head.to_bytes())
        paths_of = {example.id: paths for example, paths in zip(planned.examples, planned.paths, strict=True)}
        for some in _read_together(planned.examples):
            images = {found.id: found.image for found in service.store.examples.images(planned.task.key, some)}
            for id_ in some:
                for path in paths_of[id_]:
                    archive.writestr(zipfile.ZipInfo(path), images[id_])
                    yield window.take()
    yield window.take()


def _read_together(examples: Sequence[ExampleInfo]) -> Iterator[list[str]]:
    """Yields the ids of some examples after others, whose images are read at once."""
    some: list[str] = []
    size = 0
    for example in examples:
        if some and (len(some) == _AT_ONCE or size + example.size > _AT_ONCE_BYTES):
            yield some
            some, size = [], 0
        some.append(example.id)
        size += example.size
    if some:
        yield some


def _description(planned: TaskArchive) -> bytes:
    described = task_reply(planned.task).model_dump(mode="json")
    version = planned.task.version
    asked = version.options.asked_for()
    described |= {"backbone_sha256": version.backbone.sha256, "options": asked, "folders": planned.folders}
    if version.options.named:
        described["named"] = list(version.options.named)
    return json.dumps(described, ensure_ascii=False, indent=1).encode()


class _Window(io.BytesIO):
    """The end of a file that is written, of which the rest was taken away.

    A member's size and checksum stand before it, which many programs need, since it can be sought back to while it is written.
    """

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def tell(self) -> int:
        return self._taken + super().tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._taken + super().seek(offset - self._taken if whence == io.SEEK_SET else offset, whence)

    def take(self) -> bytes:
        """Returns what was written since the last call, and lets go of it."""
        piece = self.getvalue()
        self._taken += len(piece)
        super().seek(0)
        self.truncate()
        return piece
