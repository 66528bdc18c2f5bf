"""What every process has admitted for an engine, in memory that all read. So each refuses what all together are too busy for.

A process writes its own row alone, so nobody waits for a lock. Two that look at the same time may both admit a request that there
was room for once, no more.
"""

import mmap
import os
import zlib

import numpy as np
from numpy.typing import NDArray

from server.engine.shared.arena import shared_memory

_COLUMNS = 128
_HEAD = 8
ADMITTED, AHEAD = 0, 1


class Board:
    """The rows of all processes, and the engine's pace.

    A column stands for a tenant, and sometimes for two, which then share what would be one's.

    Args:
        descriptor: of the memory. It is closed.

    Attributes:
        rows: uint32 (processes, 2, columns): images of requests under way, and those of them that are queued at once.
    """

    def __init__(self, descriptor: int) -> None:
        memory = mmap.mmap(descriptor, 0)
        os.close(descriptor)
        self._pace = np.frombuffer(memory, np.float64, 1)
        self.rows: NDArray[np.uint32] = np.frombuffer(memory, np.uint32, offset=_HEAD).reshape(-1, 2, _COLUMNS)

    @staticmethod
    def make(rows: int) -> int:
        """Returns the descriptor of a board with so many rows. Raises NoMemory."""
        return shared_memory("headstart board", _HEAD + rows * 4 * 2 * _COLUMNS)

    @property
    def seconds_per_image(self) -> float:
        """The time that an image waits for each one before it, as estimated where they are embedded."""
        return float(self._pace[0])

    @seconds_per_image.setter
    def seconds_per_image(self, pace: float) -> None:
        self._pace[0] = pace


def no_row() -> NDArray[np.uint32]:
    """Returns a row (2, columns) of a process that has admitted nothing."""
    return np.zeros((2, _COLUMNS), np.uint32)


def column_of(tenant: str) -> int:
    """Returns the column of a tenant. Every process gives the same."""
    return zlib.crc32(tenant.encode()) % _COLUMNS
