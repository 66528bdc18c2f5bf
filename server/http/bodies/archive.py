"""A zip with a folder per class -> labelled images, trusting nothing in it.

Members are read, never extracted, and every count and size is bounded before it is paid for. One folder around the class
folders is tolerated, since that is what zipping a folder gives; so are the files that desktops leave behind. A class folder
without an image is refused, so that no class is lost unseen. An archive of this server has the task's description in
`.headstart/task.json`, and its images of none of the classes in `.negatives/` (`server.journeys.archive` makes it).
"""

import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

import msgspec

from models.zip_names import member_path, undecodable
from server.errors import HeadstartError, InvalidArchive, LimitExceeded
from server.http.bodies.file_names import clean_file_name
from server.journeys.support_set import MOST_LABELS, LabelledImage, clean_label
from server.schemas.requests import TaskOptions
from server.settings import Settings
from server.store.records import LabelMode

_IGNORED_FOLDERS = frozenset({"__MACOSX"})
_IGNORED_FILES = frozenset({"Thumbs.db", "desktop.ini"})
_END, _ZIP64_END, _ZIP64_LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_BYTES, _ZIP64_END_BYTES, _LOCATOR_BYTES = 22, 56, 20
_MAX_DIRECTORY_BYTES = 4_000_000
_DESCRIPTION = PurePosixPath(".headstart/task.json")
_NEGATIVES = ".negatives"
_MAX_DESCRIPTION_BYTES = 4_000_000

# Reading a bounded number of bytes bounds the memory for these alone: bzip2 and LZMA unpack whole blocks first.
_COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

_Member = tuple[str | None, PurePosixPath, zipfile.ZipInfo]
"""An image file: its label, where it lies and how to read it."""


class TaskDescription(msgspec.Struct, frozen=True):
    """The parts of a task's description that make it again.

    Attributes:
        labels: whether an image may have several.
        options: those of the head that its owner asked for.
        folders: the labels of folders that could not be called like their class.
        named: classes that were given by their names.
    """

    labels: LabelMode = "single"
    options: TaskOptions = TaskOptions()
    folders: dict[str, str] = {}
    named: list[str] = []


@dataclass(frozen=True, slots=True)
class Archive:
    """The contents of an archive.

    Attributes:
        images: with their folders' names as labels, sorted by path, and then those of none of the classes.
        task: of an archive of this server; else what a task is without being asked otherwise.
    """

    images: list[LabelledImage]
    task: TaskDescription


_description = msgspec.json.Decoder(TaskDescription)


def read_archive(file: IO[bytes], settings: Settings, mode: LabelMode | None = None) -> Archive:
    """Returns the images of an archive, and what it says of its task.

    Args:
        mode: whether an image may have several labels, and so lie in several folders; None leaves it to the archive.

    Raises:
        InvalidArchive: it is not a zip, is damaged or encrypted, has files outside class folders, class folders without files, or
            folders whose names cannot be read.
        InvalidLabel: a folder's name is no label.
        LimitExceeded: it holds too many images or unpacks to too many bytes.
    """
    _check_directory_size(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members, task = _members(archive)
            # Whoever merges the copies of an image counts the images.
            most = settings.queue_images * (MOST_LABELS if (mode or task.labels) == "multiple" else 1)
            if len(members) > most:
                raise LimitExceeded("images in the archive", len(members), most)
            return Archive(_read(archive, members, settings), task)
    except HeadstartError:
        raise
    except UnicodeDecodeError as error:  # of a name that its flag calls UTF-8
        raise InvalidArchive(undecodable(error.object)) from error
    except Exception as error:  # A parser fed hostile bytes may raise anything; all of it means the same to the sender.
        raise InvalidArchive("the archive is damaged, encrypted or not a zip file") from error


def _check_directory_size(file: IO[bytes]) -> None:
    """Refuses a table of contents that would cost more to parse than an honest archive of the allowed size."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_557))  # the end record and its longest comment
    tail = file.read()
    file.seek(0)
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_BYTES:
        raise InvalidArchive("the archive is damaged, encrypted or not a zip file")
    (directory_bytes,) = struct.unpack_from("<I", tail, end + 12)
    locator = end - _LOCATOR_BYTES
    if locator >= 0 and tail.startswith(_ZIP64_LOCATOR, locator):
        directory_bytes = _zip64_directory_bytes(file, tail, locator)
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise LimitExceeded("bytes of the archive's table of contents", directory_bytes, _MAX_DIRECTORY_BYTES)


def _zip64_directory_bytes(file: IO[bytes], tail: bytes, locator: int) -> int:
    """Returns the size from the record of the locator (APPNOTE 4.3.14), which lies before it and where it says."""
    (offset,) = struct.unpack_from("<Q", tail, locator + 8)
    before = locator - _ZIP64_END_BYTES
    if before >= 0 and tail.startswith(_ZIP64_END, before):
        file.seek(min(offset, 2**62))
        if file.read(_ZIP64_END_BYTES) == tail[before:locator]:
            file.seek(0)
            (directory_bytes,) = struct.unpack_from("<Q", tail, before + 40)
            return int(directory_bytes)
    raise InvalidArchive("the archive is zip64, with a record of its table of contents that is damaged or longer than usual")


def _members(archive: zipfile.ZipFile) -> tuple[list[_Member], TaskDescription]:
    """Returns every image file, and the description of the task."""
    found: list[tuple[PurePosixPath, zipfile.ZipInfo]] = []
    hidden: list[tuple[PurePosixPath, zipfile.ZipInfo]] = []
    folders: set[PurePosixPath] = set()
    for info in archive.infolist():
        try:
            path = member_path(info)
        except ValueError as error:
            raise InvalidArchive(str(error)) from error
        if not path.parts or path.is_absolute() or ".." in path.parts:
            raise InvalidArchive("the archive names a file outside itself")
        if info.compress_type not in _COMPRESSIONS:
            raise InvalidArchive("the archive is compressed in an unusual way; store or deflate its files")
        is_folder = info.filename.endswith(("/", "\\"))
        folders.add(path if is_folder else path.parent)
        if not is_folder:
            (hidden if _is_ignored(path) else found).append((path, info))
    roots = {path.parts[0] for path, _ in found}
    depth = 3 if len(roots) == 1 and all(len(path.parts) == 3 for path, _ in found) else 2
    for path, _ in found:
        if len(path.parts) != depth:
            raise InvalidArchive(
                f"{str(path)[:200]!r} is not in a class folder; an archive has one folder per class with its images"
            )
    _check_none_is_empty(folders, [path for path, _ in found], depth)
    top = PurePosixPath(*found[0][0].parts[: depth - 2]) if found else PurePosixPath()
    task = _described(archive, top / _DESCRIPTION)
    if task is None:
        task, hidden = TaskDescription(), []
    members: list[_Member] = [
        (clean_label(task.folders.get(path.parts[-2], path.parts[-2])), path, info) for path, info in sorted(found, key=_path_of)
    ]
    members += [(None, path, info) for path, info in sorted(hidden, key=_path_of) if path.parent == top / _NEGATIVES]
    return members, task


def _path_of(member: tuple[PurePosixPath, zipfile.ZipInfo]) -> PurePosixPath:
    return member[0]


def _described(archive: zipfile.ZipFile, description: PurePosixPath) -> TaskDescription | None:
    """Returns the description of the task, if the archive has one."""
    if str(description) not in archive.NameToInfo:
        return None
    with archive.open(str(description)) as member:
        content = member.read(_MAX_DESCRIPTION_BYTES + 1)
    if len(content) > _MAX_DESCRIPTION_BYTES:
        raise LimitExceeded(f"bytes of {_DESCRIPTION}", len(content), _MAX_DESCRIPTION_BYTES)
    try:
        return _description.decode(content)
    except msgspec.MsgspecError as error:
        raise InvalidArchive(f"{_DESCRIPTION} cannot be read; leave it out, and name folders like their classes") from error


def _check_none_is_empty(folders: set[PurePosixPath], files: Sequence[PurePosixPath], depth: int) -> None:
    filled = {folder for path in files for folder in path.parents}
    for folder in sorted(folders - filled):
        if 0 < len(folder.parts) < depth and not _is_ignored(folder):
            raise InvalidArchive(f"the folder {str(folder)[:200]!r} holds no images; a class needs at least one")


def _is_ignored(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return hidden or path.name in _IGNORED_FILES or not _IGNORED_FOLDERS.isdisjoint(path.parts)


def _read(archive: zipfile.ZipFile, members: Sequence[_Member], settings: Settings) -> list[LabelledImage]:
    images, total = [], 0
    for label, path, info in members:
        with archive.open(info) as member:
            # The declared size may lie, so what is read is bounded, not what is declared.
            image = member.read(settings.max_image_bytes + 1)
        total += len(image)
        if total > settings.max_body_bytes:
            raise LimitExceeded("bytes in the archive, unpacked", total, settings.max_body_bytes)
        images.append(LabelledImage(label, image, clean_file_name(str(path), folders=True)))
    return images
