"""Datasets that are folders of class folders."""

from collections.abc import Iterator
from pathlib import Path

from models.images.preprocess import READABLE
from training.data.dataset import DataError, Skipped
from training.data.files import (
    IMAGE_SUFFIXES,
    NO_CLASS,
    NO_IMAGE,
    TOO_DEEP,
    Source,
    is_readable,
    left_out,
    printable,
    source_of,
)


def is_image(file: Path) -> bool:
    """Returns whether the file has an image's suffix, or is an image by its content. A broken link with such a suffix counts
    too.
    """
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        if not file.is_file():  # a pipe would be waited for
            return False
        with file.open("rb") as opened:
            return is_readable(opened)
    except OSError:
        return False


def sources_of_folder(path: Path) -> Iterator[Source | Skipped]:
    """Yields every visible file of a folder of class folders: images as sources, other files as skipped.

    Raises:
        DataError: it is no such folder.
    """
    if not has_images(path):
        deeper = any(entry.is_dir() for folder in class_folders(path) for entry in visible(folder))
        hint = "; there are folders in its folders: give the one whose folders are the classes" if deeper else ""
        raise DataError(f"{path} has no class folder with {READABLE} files in it{hint}")
    _check_depth(path)
    for entry in visible(path):
        if not entry.is_dir():
            yield left_out(entry, NO_CLASS)
            continue
        for file in visible(entry):
            if is_image(file):
                yield source_of(entry.name, file.name, str(file), file.read_bytes)
            elif file.is_dir():
                yield from (left_out(deeper, TOO_DEEP) for deeper in files_below(file))
            else:
                yield left_out(file, NO_IMAGE)


def _check_depth(path: Path) -> None:
    """Refuses a folder whose classes are one level deeper, as in `train` and `val`, although it has some images beside them.

    Raises:
        DataError: it does.
    """
    within = {
        folder: [
            entry
            for entry in sorted(visible(folder))
            if entry.suffix.lower() not in IMAGE_SUFFIXES and entry.is_dir() and any(map(is_image, files_below(entry)))
        ]
        for folder in sorted(class_folders(path))
    }
    deeper = [entry for entries in within.values() for entry in entries]
    if all(within.values()) or len({entry.name for entry in deeper}) < len(deeper):
        raise DataError(
            f"{path} has images in its folders and in folders within them, as in {printable(str(deeper[0]))}: "
            "give the folder whose folders are the classes, or move out what belongs to no class"
        )


def has_images(path: Path) -> bool:
    """Returns whether a folder has a class folder with an image in it."""
    return any(is_image(file) for folder in class_folders(path) for file in visible(folder))


def files_below(folder: Path) -> Iterator[Path]:
    """Yields every visible file in a folder and its folders."""
    for entry in visible(folder):
        yield from files_below(entry) if entry.is_dir() else [entry]


def class_folders(path: Path) -> list[Path]:
    """Returns the visible folders in a folder."""
    return [folder for folder in visible(path) if folder.is_dir()]


def visible(folder: Path) -> list[Path]:
    """Returns the entries of a folder that are not hidden.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
