"""Finds the images of a dataset.

A dataset is one or more paths: a folder of class folders, a zip of them, or the pickles of a few-shot dataset (see
`training.data.pickles`), one by one or in a folder. The same class in several paths is one class.

A file of a class folder counts if it is visible and has an image's suffix or content. `list_left_out` lists every other visible
file, so that no file is lost unnoticed. In a zip, the folders around the class folders do not matter. But a wanted class
`Greek/letter1` is the folder `letter1` in a folder `Greek`. Class names are compared as the server compares labels
(`models.labels`), whichever Unicode form the file system prefers.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.data.dataset import Skipped
from training.data.files import Source, clean_class_name, source_of
from training.data.folders import class_folders, has_images, sources_of_folder
from training.data.pickles import PICKLE_SUFFIXES, encoded, find_pickles, read_classes, read_pickle
from training.data.zips import empty_classes_of_zip, sources_of_zip


def find_classes(paths: Sequence[Path]) -> tuple[str, ...]:
    """Returns the names of all classes, sorted. An empty class folder counts too, so that it is not lost unnoticed.

    Raises:
        DataError: a path is no dataset.
    """
    found: set[str] = set()
    for path in paths:
        pickles = list_pickles(path)
        if pickles is not None:
            found.update(*map(read_classes, pickles))
        else:
            found |= {source.class_name for source in list_sources([path])}
            found |= (
                {clean_class_name(folder.name) for folder in class_folders(path)} if path.is_dir() else empty_classes_of_zip(path)
            )
    return tuple(sorted(found))


def list_pickles(path: Path) -> list[Path] | None:
    """Returns the pickles with images that a path stands for; None where it is a folder of class folders or a zip.

    Raises:
        DataError: the folder cannot be read, or the name of a pickle does not tell its part.
    """
    if path.is_dir():
        return None if has_images(path) else find_pickles(path) or None
    return find_pickles(path) if path.suffix in PICKLE_SUFFIXES else None


def list_sources(paths: Sequence[Path], wanted: Collection[str] | None = None) -> Iterator[Source]:
    """Yields every image of a dataset; images of other classes than the `wanted` ones may be left out.

    Raises:
        DataError: a path is no dataset.
    """
    seen: set[str] = set()
    for path in paths:
        for source in _of_path(path, wanted):
            if isinstance(source, Skipped):
                continue
            # The same name in another path, or in Unicode's other form, is another image of the class.
            key = source.place if source.key in seen else source.key
            key = f"{key} ({len(seen)})" if key in seen else key
            seen.add(key)
            yield replace(source, key=key)


def list_left_out(paths: Sequence[Path], wanted: Collection[str] | None = None) -> Iterator[Skipped]:
    """Yields every visible file that is no image of `list_sources`, with the reason. Raises as that does."""
    for path in paths:
        yield from (found for found in _of_path(path, wanted) if isinstance(found, Skipped))


def _of_path(path: Path, wanted: Collection[str] | None) -> Iterator[Source | Skipped]:
    pickles = list_pickles(path)
    if pickles is not None:
        return _of_pickles(pickles, wanted)
    return sources_of_folder(path) if path.is_dir() else sources_of_zip(path, wanted or ())


def _of_pickles(files: Sequence[Path], wanted: Collection[str] | None) -> Iterator[Source]:
    for file in files:
        pickled = read_pickle(file, wanted)
        for index, (class_name, image) in enumerate(zip(pickled.classes, pickled.images, strict=True)):
            name = f"{index:06}.png"
            yield source_of(class_name, name, f"{file}/{name}", partial(encoded, image))
