"""Where the images of a dataset lie.

A dataset is one or more paths: a folder of class folders, a zip of them, or the pickles of a few-shot dataset (see
`training.data.pickles`), one by one or in a folder; the same class in several paths is one class. Every visible file of a class
folder that is called an image or is one counts; what else is visible is told by `list_left_out`, so that no file is lost
unseen. In a zip, the folders around the class folders do not matter; but a class that is asked for as `Greek/letter1` is the
folder of that name in a folder of that name. Class names are compared as the server compares labels (`models.labels`),
whichever form the file system prefers.
"""

import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from models.images.preprocess import READABLE, ImageError, media_type
from models.labels import clean_label
from models.zip_names import member_path, undecodable
from training.data.dataset import DataError, Skipped
from training.data.pickles import PICKLE_SUFFIXES, encoded, find_pickles, read_classes, read_pickle

# Wider than what can be read: a GIF should be refused by name rather than left out.
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
_HEAD_BYTES = 1024  # enough to tell any format
# What reading a member of a zip raises where it is damaged, encrypted (RuntimeError) or compressed in a way that is not known.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
_NO_IMAGE, _NO_CLASS, _TOO_DEEP = "not an image", "not in a class folder", "in a folder within a class folder"


@dataclass(frozen=True)
class Source:
    """One image of a dataset, not yet read.

    Attributes:
        place: the file, for messages.
        key: tells it from every other image of the dataset.
        content: reads the bytes of the file.
    """

    class_name: str
    file_name: str
    place: str
    key: str
    content: Callable[[], bytes]

    def read(self) -> bytes:
        """Raises: DataError: the file cannot be read; the message does not name it."""
        try:
            return self.content()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}") from error
        except _DAMAGED as error:
            raise DataError(f"cannot be read: {error}") from error


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
            found |= {composed(folder.name) for folder in _class_folders(path)} if path.is_dir() else _empty_in_zip(path)
    return tuple(sorted(found))


def list_pickles(path: Path) -> list[Path] | None:
    """The pickles with images that a path stands for; None where it is a folder of class folders or a zip.

    Raises:
        DataError: the folder cannot be read, or the name of a pickle does not tell its part.
    """
    if path.is_dir():
        return None if _has_images(path) else find_pickles(path) or None
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


def is_image(file: Path) -> bool:
    """Whether the file is called an image, or is one by its content. A link to nothing may be: whoever reads it finds out."""
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        if not file.is_file():  # a pipe would be waited for
            return False
        with file.open("rb") as opened:
            return _is_readable(opened.read(_HEAD_BYTES))
    except OSError:
        return False


def _of_path(path: Path, wanted: Collection[str] | None) -> Iterator[Source | Skipped]:
    pickles = list_pickles(path)
    if pickles is not None:
        return _of_pickles(pickles, wanted)
    return _of_folder(path) if path.is_dir() else _of_zip(path, wanted or ())


def _of_folder(path: Path) -> Iterator[Source | Skipped]:
    if not _has_images(path):
        deeper = any(entry.is_dir() for folder in _class_folders(path) for entry in visible(folder))
        hint = "; there are folders in its folders: give the one whose folders are the classes" if deeper else ""
        raise DataError(f"{path} has no class folder with {READABLE} files in it{hint}")
    _check_depth(path)
    for entry in visible(path):
        if not entry.is_dir():
            yield left_out(entry, _NO_CLASS)
            continue
        for file in visible(entry):
            if is_image(file):
                yield _source(entry.name, file.name, str(file), file.read_bytes)
            elif file.is_dir():
                yield from (left_out(deeper, _TOO_DEEP) for deeper in files_below(file))
            else:
                yield left_out(file, _NO_IMAGE)


def _check_depth(path: Path) -> None:
    """Images beside the class folders in `train` and `val` make no classes of these two."""
    within = {
        folder: [
            entry
            for entry in sorted(visible(folder))
            if entry.suffix.lower() not in IMAGE_SUFFIXES and entry.is_dir() and any(map(is_image, files_below(entry)))
        ]
        for folder in sorted(_class_folders(path))
    }
    deeper = [entry for entries in within.values() for entry in entries]
    if all(within.values()) or len({entry.name for entry in deeper}) < len(deeper):
        raise DataError(
            f"{path} has images in its folders and in folders within them, as in {_printable(str(deeper[0]))}: "
            "give the folder whose folders are the classes, or move out what belongs to no class"
        )


def _has_images(path: Path) -> bool:
    return any(is_image(file) for folder in _class_folders(path) for file in visible(folder))


def files_below(folder: Path) -> Iterator[Path]:
    """Every visible file in a folder and its folders."""
    for entry in visible(folder):
        yield from files_below(entry) if entry.is_dir() else [entry]


def left_out(file: Path, reason: str) -> Skipped:
    """A file that is no source, by a name that can be printed."""
    return Skipped(_printable(str(file)), reason)


def _is_readable(head: bytes) -> bool:
    try:
        media_type(head)
    except ImageError:
        return False
    return True


def _class_folders(path: Path) -> list[Path]:
    return [folder for folder in visible(path) if folder.is_dir()]


def visible(folder: Path) -> list[Path]:
    """What is in a folder and not hidden.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error


def _of_zip(path: Path, wanted: Collection[str]) -> Iterator[Source | Skipped]:
    archive, every = _open_zip(path)
    members = [(member, info) for member, info in every if not info.is_dir()]
    images = [(member, info) for member, info in members if _is_image_in(archive, member, info)]
    around = {folder for member, _ in images for folder in member.parent.parents}
    in_classes = [(member, info) for member, info in images if member.parent.name and member.parent not in around]
    in_full = {name for name in wanted if "/" in name}
    if not in_full:
        _check_names({member.parent for member, _ in in_classes}, path)
    for member, info in in_classes:
        full = composed("/".join(member.parent.parts[-2:]))
        class_name = full if full in in_full else member.parent.name
        yield _source(class_name, member.name, f"{path}/{member}", partial(archive.read, info))
    used, seen = {info for _, info in in_classes}, {info for _, info in images}
    for member, info in members:
        if info not in used:
            yield left_out(path / member, _NO_CLASS if info in seen else _NO_IMAGE)


def _open_zip(path: Path) -> tuple[zipfile.ZipFile, list[tuple[PurePosixPath, zipfile.ZipInfo]]]:
    """A zip, and its visible files and folders by path.

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


def _empty_in_zip(path: Path) -> set[str]:
    """The classes of a zip's folders that hold nothing at all, beside the folders of other classes."""
    _, members = _open_zip(path)
    filled = {folder for member, info in members if not info.is_dir() for folder in member.parents}
    classes = {member.parent for member, info in members if not info.is_dir()}
    beside = {folder.parent for folder in classes}
    return {
        composed(member.name)
        for member, info in members
        if info.is_dir() and member not in filled and member.parent in beside and member.name
    }


def _is_image_in(archive: zipfile.ZipFile, member: PurePosixPath, info: zipfile.ZipInfo) -> bool:
    if member.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with archive.open(info) as opened:
            return _is_readable(opened.read(_HEAD_BYTES))
    except _DAMAGED:
        return False


def _check_names(folders: Collection[PurePosixPath], path: Path) -> None:
    """Folders of one name may be one class (`train/cat`, `val/cat`) or two (`Greek/letter1`, `Latin/letter1`)."""
    by_name: dict[str, PurePosixPath] = {}
    for folder in sorted(folders):
        if (other := by_name.setdefault(folder.name, folder)) != folder:
            raise DataError(f"{path}: are {other} and {folder} one class? Give each class one folder with a name of its own")


def _is_visible(member: PurePosixPath) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in member.parts)


def _of_pickles(files: Sequence[Path], wanted: Collection[str] | None) -> Iterator[Source]:
    for file in files:
        pickled = read_pickle(file, wanted)
        for index, (class_name, image) in enumerate(zip(pickled.classes, pickled.images, strict=True)):
            name = f"{index:06}.png"
            yield _source(class_name, name, f"{file}/{name}", partial(encoded, image))


def _source(class_name: str, file_name: str, place: str, content: Callable[[], bytes]) -> Source:
    class_name, file_name, place = composed(class_name), _printable(file_name), _printable(place)
    return Source(class_name, file_name, place, f"{class_name}/{file_name}", content)


def composed(name: str) -> str:
    """The name of a class as the server has its label.

    Raises:
        DataError: it is not UTF-8, since two such names might look the same; or it is no label.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the folder {_printable(name)} has a name that is not UTF-8; rename it") from error
    try:
        return clean_label(name)
    except ValueError as error:
        raise DataError(f"the folder {_printable(name)!r} {error}, and names a class; rename it") from error


def _printable(name: str) -> str:
    """The name of a file in Unicode's composed form; bytes that are not UTF-8 are written out, so that no two become one."""
    return unicodedata.normalize("NFC", name.encode(errors="surrogateescape").decode(errors="backslashreplace"))
