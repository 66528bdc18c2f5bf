"""What callers have (paths, bytes, folders) into what one request may carry."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from headstart.errors import NoImages

Image = str | os.PathLike[str] | bytes
"""A path, or the bytes of an image file."""

LabelledImage = tuple[str, Image]

Examples = str | os.PathLike[str] | Mapping[str, Iterable[Image]] | Iterable[LabelledImage]
"""A folder with a folder per class, images by label, or (label, image) pairs."""

Item = TypeVar("Item")

# The server's defaults are 256 images and 64 MB; the margin is for what multipart adds around every image.
IMAGES_PER_REQUEST = 256
BYTES_PER_REQUEST = 63_000_000

# Wider than what the server reads: a GIF should be refused by name rather than left out in silence.
_IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".heic", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files in a folder and its sub-folders, by path; hidden ones and files with other endings are left out.

    Raises:
        NoImages: there are none.
    """
    root = Path(folder)
    candidates = (path for path in sorted(root.rglob("*")) if path.suffix.lower() in _IMAGE_SUFFIXES)
    found = [path for path in candidates if path.is_file() and not _hidden(path.relative_to(root))]
    if not found:
        raise NoImages(f"{root} holds no images")
    return found


def labelled_folder(folder: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """Reads a folder that has a folder per class: `birds/robin/1.jpg` is an example of `robin`.

    Raises:
        NoImages: it has no folders, or one of them holds no images, or folders of its own.
    """
    root = Path(folder)
    classes = sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path.relative_to(root)))
    if not classes:
        raise NoImages(f"{root} has no folders; it needs one for each class, with the images of that class inside")
    examples = [(path.name, image) for path in classes for image in image_files(path)]
    for label, image in examples:
        if image.parent.name != label or image.parent.parent != root:
            inside = image.relative_to(root).parent
            raise NoImages(f"{root} has images two levels down, in {inside}; give the folder whose folders are the classes")
    return examples


def one_or_many(images: Image | Iterable[Image]) -> list[Image]:
    """A single image as a list of one: a path is itself a sequence, of characters."""
    return [images] if isinstance(images, str | bytes | os.PathLike) else list(images)


def labelled(examples: Examples) -> list[LabelledImage]:
    """Any way of giving examples as (label, image) pairs."""
    if isinstance(examples, str | os.PathLike):
        return [*labelled_folder(examples)]
    if isinstance(examples, Mapping):
        return [(label, image) for label, images in examples.items() for image in one_or_many(images)]
    return list(examples)


def one_of_each_first(examples: Iterable[LabelledImage]) -> list[LabelledImage]:
    """The first example of every class, then the others: a task is created with all its classes, however it is split."""
    first: dict[str, LabelledImage] = {}
    others = []
    for label, image in examples:
        if label in first:
            others.append((label, image))
        else:
            first[label] = (label, image)
    return [*first.values(), *others]


def in_requests(items: Iterable[Item], image_of: Callable[[Item], Image]) -> Iterator[list[Item]]:
    """Cuts items, in their order, into what one request may carry.

    Raises:
        NoImages: there are no items.
    """
    batch: list[Item] = []
    size = 0
    for item in items:
        weight = _size(image_of(item))
        if batch and (len(batch) == IMAGES_PER_REQUEST or size + weight > BYTES_PER_REQUEST):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if not batch:
        raise NoImages("no images were given")
    yield batch


def read(image: Image) -> bytes:
    """The bytes of an image file."""
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _size(image: Image) -> int:
    return len(image) if isinstance(image, bytes) else Path(image).stat().st_size


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
