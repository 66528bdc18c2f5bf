"""Where the images of a dataset lie.

A dataset is one or more paths: a folder of class folders, a zip of them, or the pickles of a few-shot dataset (see
`training.data.pickles`), one by one or in a folder; the same class in several paths is one class. Every visible file of a class
folder that is called an image or is one counts; what else is visible is told by `list_left_out`, so that no file is lost
unseen. In a zip, the folders around the class folders do not matter; but a class that is asked for as `Greek/letter1` is the
folder of that name in a folder of that name. Class names are compared as the server compares labels (`models.labels`),
whichever form the file system prefers.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from training.data.dataset import Skipped
from training.data.files import Source, composed, source_of
from training.data.folders import class_folders, has_images, sources_of_folder
from training.data.pickles import PICKLE_SUFFIXES, encoded, find_pickles, read_classes, read_pickle
from training.data.zips import empty_classes_of_zip, sources_of_zip


def find_classes(paths: Sequence[Path]) -> tuple[str, ...]:
    """The names of all classes, sorted. A class folder counts even if no image is in it, so that it is not lost unseen.

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
            found |= {composed(folder.name) for folder in class_folders(path)} if path.is_dir() else empty_classes_of_zip(path)
    return tuple(sorted(found))


def list_pickles(path: Path) -> list[Path] | None:
    """The pickles with images that a path stands for; None where it is a folder of class folders or a zip.

    Raises:
        DataError: the folder cannot be read, or the name of a pickle does not tell its part.
    """
    if path.is_dir():
        return None if has_images(path) else find_pickles(path) or None
    return find_pickles(path) if path.suffix in PICKLE_SUFFIXES else None


def list_sources(paths: Sequence[Path], wanted: Collection[str] | None = None) -> Iterator[Source]:
    """Every image of a dataset; images of other classes than the `wanted` ones may be left out.

    Raises:
        DataError: a path is no dataset.
    """
    seen: set[str] = set()
    for path in paths:
        for source in _of_path(path, wanted):
            if isinstance(source, Skipped):
                continue
            # The same name in another path is another image of the class; so is the same in Unicode's other form.
            key = source.place if source.key in seen else source.key
            key = f"{key} ({len(seen)})" if key in seen else key
            seen.add(key)
            yield replace(source, key=key)


def list_left_out(paths: Sequence[Path], wanted: Collection[str] | None = None) -> Iterator[Skipped]:
    """Every visible file beside the images of `list_sources`, and why it is none of them; raises as that does."""
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
