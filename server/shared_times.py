"""A table of times by name, in memory that the processes of a server share."""

import fcntl
import mmap
import os
import threading
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

_BUCKETS = 4096
_PLACES = 16  # of a bucket
_BYTES = 16 * _BUCKETS * _PLACES  # of each name, a hash and a time


class SharedTimes:
    """Times by name. Enter it as a context around its calls: only one thread of all processes is inside.

    A name has its place in the bucket that its hash tells. A new one takes the place with the earliest time. So a name is lost
    only where sixteen others of its bucket have later times, and there are 65,536 places in all.

    Args:
        path: of a file, which is made if need be.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._file, 0, _BYTES)  # A write to memory without a block behind it would end the process.
        memory = memoryview(mmap.mmap(self._file, _BYTES))
        self._names = memory[: _BYTES // 2].cast("Q")
        self._times = memory[_BYTES // 2 :].cast("d")
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX)  # It ends with its process, however that ends.
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def get(self, name: str, default: float) -> float:
        """Returns the time of a name, or `default` if it has none."""
        hash_, bucket = _place(name)
        return next((self._times[at] for at in bucket if self._names[at] == hash_), default)

    def update(self, times: Mapping[str, float]) -> None:
        """Sets the times of these names."""
        for name, time in times.items():
            hash_, bucket = _place(name)
            own = [at for at in bucket if self._names[at] == hash_]
            at = own[0] if own else min(bucket, key=self._times.__getitem__)
            self._names[at], self._times[at] = hash_, time


def _place(name: str) -> tuple[int, range]:
    """Returns the hash of a name, which is never 0, and the places that it may have."""
    hash_ = int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) or 1
    first = hash_ % _BUCKETS * _PLACES
    return hash_, range(first, first + _PLACES)
