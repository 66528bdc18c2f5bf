"""The images that every process has admitted for an engine, in memory that all read. Each refuses what is too much for all.

A process writes its own row alone, so nobody waits for a lock. Two that look at the same time may both admit a request that there
was room for once, no more.
"""

import mmap
import os
import zlib
from typing import Self

import numpy as np
from numpy.typing import NDArray

from server.engine.shared.arena import shared_memory

COLUMNS = 128
_PACE_BYTES = 8
_HALF = 2**32


class Board:
    """The rows of all processes, and the engine's pace.

    A column stands for a tenant, and sometimes for two, which then share what would be one's.

    Args:
        memory: of the pace and the rows.

    Attributes:
        rows: uint64 (processes, columns): images of requests under way, and those of them that are queued at once, `packed`.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._pace = np.frombuffer(memory, np.float64, 1)
        self.rows: NDArray[np.uint64] = np.frombuffer(memory, np.uint64, offset=_PACE_BYTES).reshape(-1, COLUMNS)

    @staticmethod
    def make(rows: int) -> int:
        """Returns the descriptor of the memory of a board with so many rows. Raises NoMemory."""
        return shared_memory("headstart board", _size(rows))

    @classmethod
    def at(cls, descriptor: int) -> Self:
        """Returns the board in some memory, whose descriptor is closed."""
        try:
            return cls(mmap.mmap(descriptor, 0))
        finally:
            os.close(descriptor)

    @classmethod
    def of_one_process(cls) -> Self:
        """Returns a board that no other process reads."""
        return cls(mmap.mmap(-1, _size(1)))

    @property
    def seconds_per_image(self) -> float:
        """The time that an image waits for each one before it, as estimated where they are embedded."""
        return float(self._pace[0])

    @seconds_per_image.setter
    def seconds_per_image(self, pace: float) -> None:
        self._pace[0] = pace


def packed(admitted: int, queued: int) -> int:
    """Returns two counts as one number. Sums of such numbers are the sums of both."""
    return admitted * _HALF + queued


def unpacked(counts: int) -> tuple[int, int]:
    """Returns the two counts of a number."""
    return divmod(counts, _HALF)


def column_of(tenant: str) -> int:
    """Returns the column of a tenant. Every process gives the same."""
    return zlib.crc32(tenant.encode()) % COLUMNS


def _size(rows: int) -> int:
    return _PACE_BYTES + rows * 8 * COLUMNS
