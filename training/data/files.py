"""The image files of a dataset, and the names of files and classes."""

import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from models.images.preprocess import ImageError, media_type
from models.labels import clean_label
from training.data.dataset import DataError, Skipped

# Wider than what can be read: a GIF should be refused by name rather than left out.
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
_HEAD_BYTES = 1024  # enough to tell any format
# Reading a member of a zip raises these where it is damaged, encrypted (RuntimeError) or compressed in an unknown way.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)
NO_IMAGE, NO_CLASS, TOO_DEEP = "not an image", "not in a class folder", "in a folder within a class folder"


@dataclass(frozen=True)
class Source:
    """One image of a dataset, not yet read.

    Attributes:
        place: the file, for messages.
        key: unique within the dataset.
        content: reads the bytes of the file.
    """

    class_name: str
    file_name: str
    place: str
    key: str
    content: Callable[[], bytes]

    def read(self) -> bytes:
        """Returns the bytes of the file.

        Raises:
            DataError: the file cannot be read; the message does not name it.
        """
        try:
            return self.content()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror or error}") from error
        except DAMAGED as error:
            raise DataError(f"cannot be read: {error}") from error


def left_out(file: Path, reason: str) -> Skipped:
    """Returns the record of a file that is no source, under a printable name."""
    return Skipped(printable(str(file)), reason)


def is_readable(opened: IO[bytes]) -> bool:
    """Returns whether an opened file is an image that can be read, by its first bytes."""
    try:
        media_type(opened.read(_HEAD_BYTES))
    except ImageError:
        return False
    return True


def source_of(class_name: str, file_name: str, place: str, content: Callable[[], bytes]) -> Source:
    """Returns the source of one image, under cleaned and printable names."""
    class_name, file_name, place = clean_class_name(class_name), printable(file_name), printable(place)
    return Source(class_name, file_name, place, f"{class_name}/{file_name}", content)


def clean_class_name(name: str) -> str:
    """Returns the name of a class in the form of the server's labels.

    Raises:
        DataError: it is not UTF-8, since two such names might look the same; or it is no label.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the folder {printable(name)} has a name that is not UTF-8; rename it") from error
    try:
        return clean_label(name)
    except ValueError as error:
        raise DataError(f"the folder {printable(name)!r} {error}, and names a class; rename it") from error


def printable(name: str) -> str:
    """Returns a file's name in Unicode's composed form. Bytes that are not UTF-8 become escapes, so that no two names become
    one.
    """
    return unicodedata.normalize("NFC", name.encode(errors="surrogateescape").decode(errors="backslashreplace"))
