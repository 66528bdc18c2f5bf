"""Datasets as class -> images, held in memory as uint8 arrays.

A dataset is one or more paths, each a folder of class folders or a zip of them; the same class in several paths is one
class. A split file (JSON) names the classes of each part: `{"dataset": …, "train": […], "validation": […], "test": […]}`.
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.manifest import InputSpec
from models.preprocess import ImageError, Pixels, load_image

Part = Literal["train", "validation", "test"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_READ_AHEAD = 1024
SPLITS = Path(__file__).parent / "splits"


class DataError(ValueError):
    """A dataset that cannot be used for what was asked; the message names the file or the class."""


@dataclass(frozen=True)
class Split:
    """The base (`train`), validation and novel (`test`) classes of a dataset."""

    dataset: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def classes(self, part: Part) -> tuple[str, ...]:
        chosen: tuple[str, ...] = getattr(self, part)
        return chosen


@dataclass(frozen=True)
class ImageSet:
    """Images of several classes.

    Attributes:
        images: uint8 (N, H, W, 3).
        labels: int64 (N,), indices into `classes`, ascending.
        classes: names, in the order of the split.
        sources: where each image came from: `<class>/<file>`, with its path before it where two paths have the same.
    """

    images: Pixels
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def first_per_class(self, count: int) -> "ImageSet":
        """The first `count` images of each class."""
        keep = np.concatenate([indices[:count] for indices in self.indices_by_class()])
        return ImageSet(self.images[keep], self.labels[keep], self.classes, tuple(self.sources[i] for i in keep))

    def indices_by_class(self) -> list[NDArray[np.int64]]:
        """For each class, the positions of its images."""
        return [np.flatnonzero(self.labels == label) for label in range(len(self.classes))]


def read_split(path_or_name: str | Path) -> Split:
    """Reads a split file, or one of the shipped splits by name (`cifar-fs`, `fc100`).

    Raises:
        DataError: the file is missing, is not such JSON, or a class is in two parts.
    """
    shipped = SPLITS / f"{path_or_name}.json"
    path = shipped if shipped.is_file() else Path(path_or_name)
    try:
        raw = json.loads(path.read_text())
        split = Split(
            dataset=str(raw["dataset"]),
            train=tuple(map(str, raw["train"])),
            validation=tuple(map(str, raw["validation"])),
            test=tuple(map(str, raw["test"])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot read split file {path}: {error!r}; it needs the keys dataset, train, validation, test"
        ) from error
    names = [*split.train, *split.validation, *split.test]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"split file {path} names classes in more than one place: {', '.join(twice)}")
    return split


def load_images(paths: Sequence[Path], classes: Sequence[str], spec: InputSpec) -> ImageSet:
    """Decodes every image of `classes`, through the preprocessing that serves.

    The order is that of `classes`, then of file names, so that it does not depend on the file system.

    Raises:
        DataError: a path is neither a folder nor a zip, a class has no image, or an image cannot be decoded.
    """
    by_class: dict[str, list[_Source]] = {name: [] for name in classes}
    for source in _list(paths):
        if source.class_name in by_class:
            by_class[source.class_name].append(source)
    empty = [name for name, found in by_class.items() if not found]
    if empty:
        raise DataError(f"no images of {', '.join(empty[:5])} in {', '.join(map(str, paths))}")

    sources = [source for name in classes for source in sorted(by_class[name], key=lambda source: source.file_name)]
    images = np.empty((len(sources), spec.height, spec.width, 3), dtype=np.uint8)
    with ThreadPoolExecutor() as pool:
        # In slices, so that the bytes read ahead of the decoders stay few.
        for start in range(0, len(sources), _READ_AHEAD):
            batch = sources[start : start + _READ_AHEAD]
            contents = [source.read() for source in batch]
            for position, pixels in enumerate(pool.map(_decode, contents, batch, repeat(spec)), start):
                images[position] = pixels
    label_of = {name: label for label, name in enumerate(classes)}
    return ImageSet(
        images=images,
        labels=np.array([label_of[source.class_name] for source in sources], dtype=np.int64),
        classes=tuple(classes),
        sources=tuple(source.key for source in sources),
    )


def read_originals(paths: Sequence[Path], sources: Sequence[str]) -> list[bytes]:
    """The encoded bytes of images that `load_images` listed, in the order of `sources`.

    Raises:
        DataError: a source is in none of the paths, or cannot be read.
    """
    wanted = set(sources)
    found = {source.key: source.read() for source in _list(paths) if source.key in wanted}
    missing = wanted - found.keys()
    if missing:
        raise DataError(f"not found: {', '.join(sorted(missing)[:5])}")
    return [found[source] for source in sources]


@dataclass(frozen=True)
class _Source:
    """One image file, in a folder or in an open zip; `key` tells it from every other one of the dataset."""

    path: Path
    archive: zipfile.ZipFile | None
    member: str
    class_name: str
    file_name: str
    key: str

    def read(self) -> bytes:
        try:
            return self.archive.read(self.member) if self.archive else (self.path / self.member).read_bytes()
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path / self.member}: cannot be read: {error}") from error


def _decode(content: bytes, source: _Source, spec: InputSpec) -> Pixels:
    try:
        return load_image(content, spec)
    except ImageError as error:
        raise DataError(f"{source.path / source.member}: {error.detail}") from error


def _list(paths: Sequence[Path]) -> Iterator[_Source]:
    """Every image below the paths, its class being the folder that holds it."""
    seen: set[str] = set()
    for path in paths:
        archive, names = _members(path)
        for name in names:
            parts = PurePosixPath(name).parts
            hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
            if len(parts) < 2 or PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES or hidden:
                continue
            key = f"{parts[-2]}/{parts[-1]}"
            if key in seen:  # of another path: both are images of the class
                key = f"{path}/{name}"
            seen.add(key)
            yield _Source(path, archive, name, parts[-2], parts[-1], key)


def _members(path: Path) -> tuple[zipfile.ZipFile | None, list[str]]:
    """The files of a folder of class folders, or of a zip of them, sorted."""
    if path.is_dir():
        return None, sorted(file.relative_to(path).as_posix() for file in path.glob("*/*") if file.is_file())
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is neither a folder of class folders nor a zip of them") from error
    return archive, sorted(info.filename for info in archive.infolist() if not info.is_dir())
