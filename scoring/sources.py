"""The sources of images: folders, zips, lists of paths, and object stores. A source is listed once and then read by name."""

import errno
import os
import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models.images.preprocess import ImageError
from scoring.errors import ScoringError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

UNREADABLE = "file_unreadable"
"""The code of a file that is missing, or that nobody may read. The other codes are the server's."""

# Errors of one file. Any other, such as a disk that is gone, ends the run: it says nothing of the file.
_OF_ONE_FILE = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENXIO,
}
_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
_STORES = ("s3://", "gs://", "az://")


class SourceError(ScoringError):
    """A source that cannot be listed or read. The message is for the person who named it."""


class Source(Protocol):
    """Images of one place.

    Attributes:
        described: what tells this source from another, also from what it was before it changed.
    """

    described: str

    def names(self) -> Iterator[str]:
        """Yields the names of its images.

        Raises:
            OSError, SourceError: it cannot be listed.
        """

    def read(self, name: str, limit: int) -> bytes:
        """Returns the bytes of an image. Thread-safe.

        Raises:
            ImageError: `image_too_large`, or `file_unreadable`.
            OSError, SourceError: the source cannot be read now, which says nothing of the image.
        """

    def path(self, name: str) -> str:
        """Returns the path of an image, as it is told."""


def open_source(named: str) -> Source:
    """Returns the source with that name: a folder, a zip, a text file with a path in each line, or a URL of an object store.

    Raises:
        OSError, SourceError: there is none.
    """
    if named.startswith(_STORES):
        return _ObjectStore(named)
    path = Path(named)
    if path.is_dir():
        return _Folder(path)
    about = path.stat()
    if zipfile.is_zipfile(path):
        return _Zip(path, about)
    return _List(path, about)


class _Folder:
    """A folder with its sub-folders. Hidden files are left out, and links to folders are not followed."""

    def __init__(self, path: Path) -> None:
        self._root = path.resolve()
        self.described = f"folder {self._root}"

    def names(self) -> Iterator[str]:
        folders = [""]
        while folders:
            inside = folders.pop()
            with os.scandir(self._root / inside) as entries:
                for entry in entries:
                    name = f"{inside}{entry.name}"
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{name}/")
                    elif _is_image(name):
                        yield name

    def read(self, name: str, limit: int) -> bytes:
        return _read_file(self._root / name, limit)

    def path(self, name: str) -> str:
        return str(self._root / name)


class _Zip:
    """A zip. A name that it holds twice is there twice."""

    def __init__(self, path: Path, about: os.stat_result) -> None:
        self._file = path.resolve()
        self.described = f"zip {self._file}, {about.st_size} bytes of {about.st_mtime_ns}"
        self._lock = threading.Lock()

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._file)
        except (zipfile.BadZipFile, ValueError) as error:
            raise SourceError(f"{self._file} cannot be read as a zip: {error}") from error

    def names(self) -> Iterator[str]:
        for position, member in enumerate(self._zip.infolist()):
            parts = member.filename.split("/")
            if (
                not member.is_dir()
                and _is_image(member.filename)
                and not any(part.startswith((".", "__MACOSX")) for part in parts)
            ):
                yield f"{position}:{member.filename}"

    def read(self, name: str, limit: int) -> bytes:
        with self._lock:  # Its directory may be large, and is read once.
            archive = self._zip
        member = archive.infolist()[int(name.partition(":")[0])]
        _check_size(member.file_size, limit)
        try:
            return archive.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ImageError(UNREADABLE, "the member of the zip is damaged, encrypted or packed in an unknown way") from error

    def path(self, name: str) -> str:
        return f"{self._file}/{name.partition(':')[2]}"


class _List:
    """A text file in UTF-8 with a path or an object's URL in each line. Paths are relative to the working folder."""

    def __init__(self, path: Path, about: os.stat_result) -> None:
        self._file = path.resolve()
        self._base = Path.cwd()
        self.described = f"list {self._file}, {about.st_size} bytes of {about.st_mtime_ns}, read in {self._base}"
        self._stores: dict[str, _ObjectStore] = {}

    def names(self) -> Iterator[str]:
        with self._file.open(encoding="utf-8", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):
                if "\0" in line:
                    raise SourceError(f"{self._file}, line {number}: this is no list of paths")
                if name := line.rstrip("\r\n"):
                    yield name

    def read(self, name: str, limit: int) -> bytes:
        if not name.startswith(_STORES):
            return _read_file(self._base / name, limit)
        scheme, _, rest = name.partition("://")
        bucket, _, key = rest.partition("/")
        root = f"{scheme}://{bucket}"
        return self._stores.setdefault(root, _ObjectStore(root)).read(key, limit)

    def path(self, name: str) -> str:
        return name


class _ObjectStore:
    """The objects under a URL. Access is as the environment says, as for other tools of that store."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self.described = f"objects {self._url}"
        self._lock = threading.Lock()

    @cached_property
    def _store(self) -> "ObjectStore":
        from obstore.store import from_url

        return from_url(self._url)

    def names(self) -> Iterator[str]:
        import obstore
        from obstore.exceptions import BaseError

        try:
            for several in obstore.list(self._opened()):
                yield from (each["path"] for each in several if _is_image(each["path"]))
        except BaseError as error:
            raise SourceError(f"{self._url} cannot be listed: {error}") from error

    def read(self, name: str, limit: int) -> bytes:
        import obstore
        from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError

        try:
            found = obstore.get(self._opened(), name)
            _check_size(found.meta["size"], limit)
            return bytes(found.bytes())
        except (NotFoundError, FileNotFoundError, PermissionDeniedError) as error:
            raise ImageError(UNREADABLE, "the object is missing, or may not be read") from error
        except BaseError as error:
            raise SourceError(f"{self._url}/{name} cannot be read now: {error}") from error

    def path(self, name: str) -> str:
        return f"{self._url}/{name}"

    def _opened(self) -> "ObjectStore":
        with self._lock:
            return self._store


def _read_file(path: Path, limit: int) -> bytes:
    try:
        # A pipe would be waited for otherwise.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise ImageError(UNREADABLE, "this is not a file")
            _check_size(about.st_size, limit)
            return file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _OF_ONE_FILE:
            raise
        raise ImageError(UNREADABLE, f"the file cannot be read: {getattr(error, 'strerror', error)}") from error


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ImageError("image_too_large", f"the image has {size} bytes; the limit is {limit}")


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _SUFFIXES  # noqa: PTH122 - a path object for each of a million names is slow
