"""Counters of changes, by which every process of a server knows whether what it holds in memory is still true.

The process that writes counts a change after its commit and before anybody hears of it. The others compare: what was read before
the change has an older count. A look costs two reads of memory, and no message can be late.

Where servers on other machines write to the same database, the process that writes counts their changes as well, when it has read
of them. So nothing is taken from memory once it has not read for a while.
"""

import mmap
import os
import threading
import time
import zlib
from pathlib import Path

import numpy as np

_SLOTS = 2**16
_KEYS = 0
_BYTES = 8 * (_SLOTS + 2)


def seconds_now() -> float:
    """Returns the time since the machine started. It goes on while the machine is suspended, and is that of all processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Changes:
    """Counters for tasks, for tenants and for keys. Several tasks may share one, which only makes a process read in vain.

    One process counts; any number look. Thread-safe.

    Args:
        path: a file of counters that processes share; it is made if need be. None for counters of this process alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            memory = mmap.mmap(-1, _BYTES)
        else:
            with path.open("a+b") as file:
                os.posix_fallocate(file.fileno(), 0, _BYTES)  # A write to memory without a block behind it would end the process.
                memory = mmap.mmap(file.fileno(), _BYTES)
        self._memory = memory
        whole = memoryview(memory)
        self.counts = whole[: 8 * _SLOTS].cast("Q")
        self._settled = whole[8 * _SLOTS : 8 * _SLOTS + 8].cast("Q")
        self._until = whole[8 * _SLOTS + 8 :].cast("d")
        self._counting = threading.Lock()

    @staticmethod
    def slot_of(tenant: str, task: str = "") -> int:
        """Returns where a task's changes are counted, or those of the tenant's list of tasks. Every process gives the same."""
        return 1 + zlib.crc32(f"{tenant}\0{task}".encode()) % (_SLOTS - 1)

    @property
    def of_keys(self) -> int:
        """The number of changes of API keys."""
        return self.counts[_KEYS]

    @property
    def are_heard(self) -> bool:
        """False while other servers may have changed something that is not counted here."""
        until = self._until[0]
        return not until or seconds_now() < until

    def are_silent(self, seconds: float) -> bool:
        """Returns whether they have not been heard for longer than these seconds."""
        until = self._until[0]
        return bool(until) and seconds_now() > until + seconds

    @property
    def settled(self) -> int:
        """The changes of all transactions before the one with this id are counted here, whichever server made them."""
        return self._settled[0]

    def count(self, *slots: int) -> None:
        """Counts a change under each of these slots."""
        with self._counting:
            for slot in slots:
                self.counts[slot] += 1

    def count_keys(self) -> None:
        """Counts a change of API keys."""
        self.count(_KEYS)

    def count_all(self) -> None:
        """Counts a change of everything. The process that writes does so at its start: one before it may have been killed
        between a commit and its count.
        """
        with self._counting:
            counts = np.frombuffer(self._memory, np.uint64, _SLOTS)
            counts += np.uint64(1)

    def hear(self, settled: int, until: float) -> None:
        """Notes that changes of other servers are counted.

        Args:
            settled: as the property.
            until: the time by `seconds_now` from which on there may be further ones.
        """
        self._settled[0] = settled
        self._until[0] = until
