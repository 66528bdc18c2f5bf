"""Reads images into memory, and cuts them into requests."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

from headstart.images.folders import printable_path
from headstart.images.kinds import Image, OpenFile, as_png, is_picture

_LABEL_BYTES = 600  # of one of several labels, with what separates them
_PART_BYTES = 1000  # of a form: the headers around an image, and its label of at most 128 characters

Item = TypeVar("Item")

Unloaded = tuple[int, str | tuple[str, ...] | None, Image]
"""An image before it is read: its position in the call, its label, and the image as it was given."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One image as it is sent.

    Attributes:
        position: in the call, from 0.
        name: its path, or else its place in the call.
        label: of an example; empty for a query, and None for an example of none of the classes. The tuple of its labels in a task
            of several labels an image.
        file_name: its file's name without folders; empty if it has no file.
    """

    position: int
    name: str
    content: bytes
    label: str | tuple[str, ...] | None = ""
    file_name: str = ""

    @property
    def form_bytes(self) -> int:
        """The most bytes that it takes in a form."""
        further = len(self.label) * _LABEL_BYTES if isinstance(self.label, tuple) else 0
        return _PART_BYTES + further + len(self.content)

    @property
    def form_label(self) -> str | None:
        """The text of a form that carries its label, or as JSON its labels; None if it is of none of the classes."""
        return json.dumps(self.label, ensure_ascii=False) if isinstance(self.label, tuple) else self.label

    @property
    def part(self) -> tuple[str, tuple[str, bytes]]:
        """The part of a form that carries it. Such a part needs a file name; the server takes `.` for none."""
        return "images" if self.label is not None else "negatives", (self.file_name or ".", self.content)


def slices(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Cuts images into as many as are loaded at once, so that few are in memory before they are needed."""
    size, some = 4 * _workers(), list[Item]()
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def loaded(image: Unloaded, prepare: Callable[[bytes], bytes] = bytes) -> Loaded:
    """Reads an image.

    Args, raises: as of `load`.
    """
    position, label, given = image
    path = _path_of(given)
    name = f"image {position + 1}" if path is None else printable_path(path)
    return Loaded(position, name, prepare(_read(given, position)), label, _file_name(path))


def load(images: Iterable[Unloaded], prepare: Callable[[bytes], bytes] = bytes) -> list[Loaded]:
    """Reads images on all cores, and returns them in their order.

    Args:
        prepare: turns each file's bytes into the bytes that are sent.

    Raises:
        OSError: a file cannot be read.
        TypeError: a file gives text, or a picture was given and Pillow is not installed.
    """
    with ThreadPoolExecutor(_workers()) as pool:
        return list(pool.map(lambda image: loaded(image, prepare), images))


def changed(images: Iterable[Loaded], change: Callable[[bytes], bytes]) -> list[Loaded]:
    """Returns the images with other bytes, which are made on all cores."""

    def one(image: Loaded) -> Loaded:
        return replace(image, content=change(image.content))

    with ThreadPoolExecutor(_workers()) as pool:
        return list(pool.map(one, images))


def merged(images: Iterable[Loaded]) -> list[Loaded]:
    """The images, each once, with all the labels that its copies have, of a task of several labels an image."""
    found: dict[bytes, Loaded] = {}
    for image in images:
        if (first := found.get(image.content)) is None:
            found[image.content] = image
        else:
            found[image.content] = replace(first, label=tuple(dict.fromkeys((*(first.label or ()), *(image.label or ())))))
    return list(found.values())


class Requests:
    """Cuts images, in their order, into requests of limited size. An image above `most_bytes` goes alone."""

    def __init__(self, most_images: int, most_bytes: int) -> None:
        self._most_images = most_images
        self._most_bytes = most_bytes
        self._batch: list[Loaded] = []
        self._size = 0

    def add(self, image: Loaded) -> list[Loaded]:
        """Takes the next image. Returns the images of a request if they are complete without it, and else none."""
        full = bool(self._batch) and (len(self._batch) == self._most_images or self._size + image.form_bytes > self._most_bytes)
        complete = self.rest() if full else []
        self._batch.append(image)
        self._size += image.form_bytes
        return complete

    def rest(self) -> list[Loaded]:
        """Returns the images of the last request."""
        batch, self._batch, self._size = self._batch, [], 0
        return batch


def _read(image: Image, position: int) -> bytes:
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if is_picture(image):
        return as_png(image)
    content = cast("OpenFile", image).read()
    if not isinstance(content, bytes | bytearray | memoryview):
        raise TypeError(f"image {position + 1}: its file gives {type(content).__name__} and not bytes; open it with mode 'rb'")
    return bytes(content)


def _path_of(image: Image) -> str | None:
    """The path of an image: its own, that of its open file, or that of the file which Pillow opened."""
    path = image if isinstance(image, str | os.PathLike) else getattr(image, "name", None) or getattr(image, "filename", None)
    if not path or not isinstance(path, str | os.PathLike):
        return None
    text = os.fspath(path)
    return text if isinstance(text, str) else None


def _file_name(path: str | None) -> str:
    return "" if path is None else Path(path).name.encode(errors="surrogateescape").decode(errors="replace")


def _workers() -> int:
    return os.cpu_count() or 1
