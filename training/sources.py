"""Where the images of a dataset lie.

A dataset is one or more paths: a folder of class folders, a zip of them, or the pickles of a few-shot dataset (see
`training.pickles`), one by one or in a folder; the same class in several paths is one class. JPEG, PNG and WebP files count,
by their suffix; hidden files do not. In a zip, the folders around the class folders do not matter, nor do images in them; but a
class that is asked for as `Greek/letter1` is the folder of that name in a folder of that name. Class names are compared in
Unicode's composed form (NFC), whichever the file system prefers.
"""

import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from training.data import DataError
from training.pickles import PICKLE_SUFFIXES, encoded, find_pickles, read_classes, read_pickle

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


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
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last: an encrypted zip
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
            found |= {source.class_name for source in _of_path(path, None)}
            found |= {composed(folder.name) for folder in _class_folders(path)} if path.is_dir() else set()
    return tuple(sorted(found))


def list_pickles(path: Path) -> list[Path] | None:
    """The pickles with images that a path stands for; None where it is a folder of class folders or a zip.

    Raises:
        DataError: the folder cannot be read, or the name of a pickle does not tell its part.
    """
    if path.is_dir():
        return None if _images(path) else find_pickles(path) or None
    return find_pickles(path) if path.suffix in PICKLE_SUFFIXES else None


def list_sources(paths: Sequence[Path], wanted: Collection[str] | None = None) -> Iterator[Source]:
    """Every image of a dataset; images of other classes than the `wanted` ones may be left out.

    Raises:
        DataError: a path is no dataset.
    """
    seen: set[str] = set()
    for path in paths:
        for source in _of_path(path, wanted):
            # The same name in another path is another image of the class.
            key = source.place if source.key in seen else source.key
            seen.add(key)
            yield replace(source, key=key)


def _of_path(path: Path, wanted: Collection[str] | None) -> Iterator[Source]:
    pickles = list_pickles(path)
    if pickles is not None:
        return _of_pickles(pickles, wanted)
    return _of_folder(path) if path.is_dir() else _of_zip(path, wanted or ())


def _of_folder(path: Path) -> Iterator[Source]:
    images = _images(path)
    if not images:
        deeper = any(entry.is_dir() for folder in _class_folders(path) for entry in _visible(folder))
        hint = "; there are folders in its folders: give the one whose folders are the classes" if deeper else ""
        raise DataError(f"{path} has no class folder with JPEG, PNG or WebP files in it{hint}")
    for file in images:
        yield _source(file.parent.name, file.name, str(file), file.read_bytes)


def _images(path: Path) -> list[Path]:
    """What is called an image in the class folders. A link to nothing is listed too: whoever reads it finds out."""
    files = (file for folder in _class_folders(path) for file in _visible(folder))
    return [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]


def _class_folders(path: Path) -> list[Path]:
    return [folder for folder in _visible(path) if folder.is_dir()]


def _visible(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error


def _of_zip(path: Path, wanted: Collection[str]) -> Iterator[Source]:
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is neither a folder of class folders nor a zip of them") from error
    names = sorted(info.filename for info in archive.infolist() if not info.is_dir())
    images = [(name, member) for name in names if _is_visible_image(member := PurePosixPath(name))]
    around = {folder for _, member in images for folder in member.parent.parents}
    images = [(name, member) for name, member in images if member.parent.name and member.parent not in around]
    in_full = {name for name in wanted if "/" in name}
    if not in_full:
        _check_names({member.parent for _, member in images}, path)
    for name, member in images:
        full = composed("/".join(member.parent.parts[-2:]))
        class_name = full if full in in_full else member.parent.name
        yield _source(class_name, member.name, f"{path}/{name}", partial(archive.read, name))


def _check_names(folders: Collection[PurePosixPath], path: Path) -> None:
    """Folders of one name may be one class (`train/cat`, `val/cat`) or two (`Greek/letter1`, `Latin/letter1`)."""
    by_name: dict[str, PurePosixPath] = {}
    for folder in sorted(folders):
        if (other := by_name.setdefault(folder.name, folder)) != folder:
            raise DataError(f"{path}: are {other} and {folder} one class? Give each class one folder with a name of its own")


def _is_visible_image(member: PurePosixPath) -> bool:
    return member.suffix.lower() in IMAGE_SUFFIXES and not any(part.startswith((".", "__MACOSX")) for part in member.parts)


def _of_pickles(files: Sequence[Path], wanted: Collection[str] | None) -> Iterator[Source]:
    for file in files:
        pickled = read_pickle(file, wanted)
        for index, (class_name, image) in enumerate(zip(pickled.classes, pickled.images, strict=True)):
            name = f"{index:06}.png"
            yield _source(class_name, name, f"{file}/{name}", partial(encoded, image))


def _source(class_name: str, file_name: str, place: str, content: Callable[[], bytes]) -> Source:
    class_name, file_name, place = map(composed, (class_name, file_name, place))
    return Source(class_name, file_name, place, f"{class_name}/{file_name}", content)


def composed(name: str) -> str:
    """The name in Unicode's composed form, with a replacement character for what is not UTF-8."""
    readable = name.encode(errors="surrogateescape").decode(errors="replace")
    return unicodedata.normalize("NFC", readable)
