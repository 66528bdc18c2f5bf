"""A zip with a folder per class -> labelled images, trusting nothing in it.

Members are read, never extracted, and every count and size is bounded before it is paid for. One folder around the class
folders is tolerated, since that is what zipping a folder gives; so are the files that desktops leave behind.
"""

import struct
import zipfile
from pathlib import PurePosixPath
from typing import IO

from server.errors import HeadstartError, InvalidArchive, LimitExceeded
from server.file_names import clean_file_name
from server.settings import Settings
from server.support import LabelledImage, clean_label

_IGNORED_FOLDERS = frozenset({"__MACOSX"})
_IGNORED_FILES = frozenset({"Thumbs.db", "desktop.ini"})
_END, _ZIP64_LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
_MAX_DIRECTORY_BYTES = 4_000_000

# Reading a bounded number of bytes bounds the memory for these alone: bzip2 and LZMA unpack whole blocks first.
_COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


def read_archive(file: IO[bytes], settings: Settings) -> list[LabelledImage]:
    """Every image of the archive with its folder's name as label, sorted by path.

    Raises:
        InvalidArchive: it is not a zip, is damaged or encrypted, or has files outside class folders.
        InvalidLabel: a folder's name is no label.
        LimitExceeded: it holds too many images or unpacks to too many bytes.
    """
    _check_directory_size(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive)
            if len(members) > settings.queue_images:
                raise LimitExceeded("images in the archive", len(members), settings.queue_images)
            return _read(archive, members, settings)
    except HeadstartError:
        raise
    except Exception as error:  # A parser fed hostile bytes may raise anything; all of it means the same to the sender.
        raise InvalidArchive("the archive is damaged, encrypted or not a zip file") from error


def _check_directory_size(file: IO[bytes]) -> None:
    """Refuses a table of contents that would cost more to parse than an honest archive of the allowed size."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_557))  # the end record and its longest comment
    tail = file.read()
    file.seek(0)
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < 22:
        raise InvalidArchive("the archive is damaged, encrypted or not a zip file")
    (directory_bytes,) = struct.unpack_from("<I", tail, end + 12)
    if directory_bytes > _MAX_DIRECTORY_BYTES or _ZIP64_LOCATOR in tail[max(0, end - 20) : end]:
        raise LimitExceeded("bytes of the archive's table of contents", directory_bytes, _MAX_DIRECTORY_BYTES)


def _members(archive: zipfile.ZipFile) -> list[tuple[str, zipfile.ZipInfo]]:
    """(label, member) of every image file."""
    found: list[tuple[PurePosixPath, zipfile.ZipInfo]] = []
    for info in archive.infolist():
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise InvalidArchive("the archive names a file outside itself")
        if info.compress_type not in _COMPRESSIONS:
            raise InvalidArchive("the archive is compressed in an unusual way; store or deflate its files")
        if not info.is_dir() and not _is_ignored(path):
            found.append((path, info))
    roots = {path.parts[0] for path, _ in found}
    depth = 3 if len(roots) == 1 and all(len(path.parts) == 3 for path, _ in found) else 2
    for path, _ in found:
        if len(path.parts) != depth:
            raise InvalidArchive(
                f"{str(path)[:200]!r} is not in a class folder; an archive has one folder per class with its images"
            )
    return [(clean_label(path.parts[-2]), info) for path, info in sorted(found, key=lambda member: member[0])]


def _is_ignored(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return hidden or path.name in _IGNORED_FILES or not _IGNORED_FOLDERS.isdisjoint(path.parts)


def _read(archive: zipfile.ZipFile, members: list[tuple[str, zipfile.ZipInfo]], settings: Settings) -> list[LabelledImage]:
    images, total = [], 0
    for label, info in members:
        with archive.open(info) as member:
            # The declared size may lie, so what is read is bounded, not what is declared.
            image = member.read(settings.max_image_bytes + 1)
        total += len(image)
        if total > settings.max_body_bytes:
            raise LimitExceeded("bytes in the archive, unpacked", total, settings.max_body_bytes)
        images.append(LabelledImage(label, image, clean_file_name(info.filename, folders=True)))
    return images
