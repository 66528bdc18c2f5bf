"""Datasets that are zips of class folders."""

import zipfile
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from models.zip_names import member_path, undecodable
from training.data.dataset import DataError, Skipped
from training.data.files import (
    DAMAGED,
    IMAGE_SUFFIXES,
    NO_CLASS,
    NO_IMAGE,
    Source,
    clean_class_name,
    is_readable,
    left_out,
    source_of,
)


def sources_of_zip(path: Path, wanted: Collection[str]) -> Iterator[Source | Skipped]:
    """Yields every visible file of a zip of class folders: images as sources, other files as skipped.

    Args:
        wanted: classes; a name like `Greek/letter1` is the folder of that name in a folder of that name.

    Raises:
        DataError: it is no zip, or two folders may be one class.
    """
    archive, every = _open_zip(path)
    members = [(member, info) for member, info in every if not info.is_dir()]
    images = [(member, info) for member, info in members if _is_image_in(archive, member, info)]
    around = {folder for member, _ in images for folder in member.parent.parents}
    in_classes = [(member, info) for member, info in images if member.parent.name and member.parent not in around]
    in_full = {name for name in wanted if "/" in name}
    if not in_full:
        _check_names({member.parent for member, _ in in_classes}, path)
    for member, info in in_classes:
        full = clean_class_name("/".join(member.parent.parts[-2:]))
        class_name = full if full in in_full else member.parent.name
        yield source_of(class_name, member.name, f"{path}/{member}", partial(archive.read, info))
    used, seen = {info for _, info in in_classes}, {info for _, info in images}
    for member, info in members:
        if info not in used:
            yield left_out(path / member, NO_CLASS if info in seen else NO_IMAGE)


def _open_zip(path: Path) -> tuple[zipfile.ZipFile, list[tuple[PurePosixPath, zipfile.ZipInfo]]]:
    """Opens a zip, and returns it with its visible files and folders by path.

    Raises:
        DataError: it is none, or the name of a folder in it cannot be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except UnicodeDecodeError as error:  # of a name that its flag calls UTF-8
        raise DataError(f"{path}: {undecodable(error.object)}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is neither a folder of class folders nor a zip of them") from error
    try:
        members = sorted(((member_path(info), info) for info in archive.infolist()), key=lambda found: found[0])
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    return archive, [(member, info) for member, info in members if _is_visible(member)]


def empty_classes_of_zip(path: Path) -> set[str]:
    """Returns the classes of a zip's empty folders that lie beside the folders of other classes."""
    _, members = _open_zip(path)
    filled = {folder for member, info in members if not info.is_dir() for folder in member.parents}
    classes = {member.parent for member, info in members if not info.is_dir()}
    beside = {folder.parent for folder in classes}
    return {
        clean_class_name(member.name)
        for member, info in members
        if info.is_dir() and member not in filled and member.parent in beside and member.name
    }


def _is_image_in(archive: zipfile.ZipFile, member: PurePosixPath, info: zipfile.ZipInfo) -> bool:
    if member.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with archive.open(info) as opened:
            return is_readable(opened)
    except DAMAGED:
        return False


def _check_names(folders: Collection[PurePosixPath], path: Path) -> None:
    """Refuses two class folders of one name: they may be one class (`train/cat`, `val/cat`) or two (`Greek/letter1`,
    `Latin/letter1`).

    Raises:
        DataError: there are two.
    """
    by_name: dict[str, PurePosixPath] = {}
    for folder in sorted(folders):
        if (other := by_name.setdefault(folder.name, folder)) != folder:
            raise DataError(f"{path}: are {other} and {folder} one class? Give each class one folder with a name of its own")


def _is_visible(member: PurePosixPath) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in member.parts)
