"""The files of the database: this process alone holds them, and only its user may read them. Disk space is kept for removing."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from server.store.database import StoreSizes

_log = logging.getLogger(__name__)

_PRIVATE = 0o600
_ROOM = 32 * 2**20  # bytes: more than zeroing the largest image writes to the log
_ROOM_PART = 8  # the reserve takes at most one eighth of the disk
_RESERVE = "reserve"
_START_ROOM = 2**20  # bytes: each start writes the index and the head of the log anew

Identity = tuple[int, int]


class FilesTaken(Exception):
    """Another process holds the database."""


class DatabaseFiles:
    """A database's file, its write-ahead log and its index, with a reserve of disk space beside them.

    Attributes:
        path: the path of the database itself, with links resolved.
        room: the number of bytes of disk space that are kept for removing. As many again should be free.
    """

    def __init__(self, named: Path) -> None:
        self.path = named.resolve()
        self._named = named
        self._known: dict[Path, Identity] = {}
        self._reserve = self._beside(_RESERVE)
        self.room = 0
        self._reserving = True

    @classmethod
    @contextmanager
    def hold(cls, named: Path) -> Iterator["DatabaseFiles"]:
        """Locks the database for this process, and creates it if need be. The locks end with the process, however that ends.

        Raises:
            FilesTaken: another process has it.
            OSError: it cannot be created or written to.
        """
        with ExitStack() as resources:
            # Two locks. Earlier releases lock only a file beside the database. Links and a second data directory lead to the
            # database itself. SQLite's own locks are of another kind and do not conflict with these. They would be lost if any
            # other descriptor of the file were closed, so this one is opened before SQLite's and closed after.
            for path in (named.with_name(f"{named.name}.lock"), named):
                file = resources.enter_context(_opened(path))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise FilesTaken from None
            files = cls(named)
            for path in (files.path, files._beside("wal", "-"), files._beside("shm", "-")):
                with suppress(FileNotFoundError, PermissionError):
                    path.chmod(_PRIVATE)  # SQLite gives the files that it makes beside the database the same mode.
            files.room = min(_ROOM, _disk_size(files.path) // _ROOM_PART)
            if files.free < _START_ROOM:
                files.give(_START_ROOM)
            yield files

    @classmethod
    def watch(cls, named: Path) -> "DatabaseFiles":
        """Returns the files of a database that another process holds. Raises OSError if there is none."""
        files = cls(named)
        files._known = {named: _identity(named)}  # The other files come and go with the process that writes.
        return files

    def remember(self) -> None:
        """Remembers the files as they are now, for `replaced`. Call it when SQLite has made all of them."""
        paths = (self._named, self._beside("wal", "-"), self._beside("shm", "-"))
        self._known = {path: _identity(path) for path in paths}

    @property
    def replaced(self) -> str | None:
        """The name of a file that was removed or replaced since this process opened it; None if there is none."""
        for path, known in self._known.items():
            try:
                if _identity(path) != known:
                    return path.name
            except OSError:
                return path.name
        return None

    @property
    def size(self) -> int:
        """Bytes of the database itself, without its log."""
        return self.path.stat().st_size

    @property
    def log_size(self) -> int:
        """Bytes of the database's log."""
        try:
            return self._beside("wal", "-").stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def free(self) -> int:
        """Bytes that this process may still write to the disk. The reserve does not count."""
        return _free(self.path)

    def sizes(self) -> StoreSizes:
        return StoreSizes(self.size, self.log_size, self.free)

    def keep_room(self) -> bool:
        """Takes the reserve from the disk, unless it is there already.

        Returns:
            Whether the reserve is there; True also if the file system cannot reserve space.
        """
        if not self._reserving or self._reserved >= self.room:
            return True
        try:
            with _opened(self._reserve) as file:
                os.posix_fallocate(file.fileno(), 0, self.room)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                return False
            self._reserving = False
            _log.warning("no disk space can be kept for removing: %s", error.strerror)
        return True

    def give(self, size: int) -> bool:
        """Gives up `size` bytes of the reserve for now. Returns False if there is no reserve."""
        there = self._reserved
        if there:
            os.truncate(self._reserve, max(0, there - size))
        return there > 0

    @property
    def _reserved(self) -> int:
        try:
            return self._reserve.stat().st_size
        except FileNotFoundError:
            return 0

    def _beside(self, kind: str, joint: str = ".") -> Path:
        return self.path.with_name(f"{self.path.name}{joint}{kind}")


def give_some(named: Path, size: int) -> None:
    """Gives up `size` bytes of the reserve of a database that another process holds. Does nothing if there is no reserve."""
    with suppress(FileNotFoundError):
        reserve = named.resolve().with_name(f"{named.resolve().name}.{_RESERVE}")
        os.truncate(reserve, max(0, reserve.stat().st_size - size))


def disk_is_full(folder: Path) -> bool:
    """Returns whether the disk has less space left than a database needs to be opened."""
    try:
        return _free(folder) < _START_ROOM
    except OSError:
        return False


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE), "r+b", buffering=0)


def _identity(path: Path) -> Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


def _free(path: Path) -> int:
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


def _disk_size(path: Path) -> int:
    disk = os.statvfs(path)
    return disk.f_blocks * disk.f_frsize
