"""The folder of what the processes of a server share: sockets, counters and metrics."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory

_MEMORY = "/dev/shm"  # noqa: S108 -- the folder that is made in it is private
_BYTES = 8 * 2**20  # that a process's files there take at most

_log = logging.getLogger(__name__)


@contextmanager
def shared_folder(processes: int) -> Iterator[Path]:
    """Makes a folder for so many processes, in memory where there is room, and removes it at the end of the block.

    In memory, neither a full disk nor a long path stops a process: it would end when it counts.
    """
    with TemporaryDirectory(prefix="headstart-", dir=_MEMORY if _has_room(processes) else None) as folder:
        yield Path(folder)


def _has_room(processes: int) -> bool:
    with suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and disk_usage(_MEMORY).free >= processes * _BYTES:
            return True
    _log.warning("%s has too little room, so the processes share files in a folder on the disk", _MEMORY)
    return False
