"""Admission to an engine that several processes send images to: by what all of them have admitted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from prometheus_client import Gauge

from server.context import tenant_id
from server.engine.shared.board import ADMITTED, AHEAD, Board, column_of, no_row
from server.errors import Overloaded
from server.shares import room_of


class Admission:
    """What this process has admitted, beside what the others have. It admits by the rules of `server.engine.batcher.Batcher`.

    Args:
        capacity: the most images of all requests under way, of all processes.
        max_batch: of the engine.
        longest_wait: seconds.
        gauge: shows the images that this process has admitted.
    """

    def __init__(self, capacity: int, max_batch: int, longest_wait: float, gauge: Gauge) -> None:
        self._capacity = capacity
        self._max_batch = max_batch
        self._longest_wait = longest_wait
        self._gauge = gauge
        self._row = no_row()
        self._board: Board | None = None
        self._told = self._row  # this process's row of the board
        self._changing = threading.Lock()

    def move_to(self, board: Board | None, row: int = 0) -> None:
        """Tells a board, from now on, what this process has admitted; None if there is none now."""
        with self._changing:
            self._board = board
            self._told = board.rows[row] if board else self._row
            self._told[:] = self._row

    @property
    def room(self) -> int:
        """The number of images of this request's tenant that would be admitted now."""
        board, column = self._board, column_of(tenant_id.get())
        admitted, ahead = board.rows.sum(axis=0, dtype=np.int64) if board else self._row.astype(np.int64)
        mine, total = int(admitted[column]), int(admitted.sum())
        # The tenants take turns, so that no other is served more meanwhile than this one, and what it asks for now.
        most = int(ahead[column]) + self._max_batch
        before = int(np.minimum(ahead, most).sum())
        pace = board.seconds_per_image if board else 0.0
        if before * pace > self._longest_wait and before >= 2 * self._max_batch:
            return 0
        return room_of(mine, total, int(np.count_nonzero(admitted)), self._capacity)

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Reserves room for a whole request. Raises Overloaded: there is no room now."""
        if images > self.room:
            raise Overloaded(
                f"the server is working on as many images as it takes, {self._capacity} at most and no more than "
                f"{self._longest_wait:g} seconds' work; try again"
            )
        column, ahead = column_of(tenant_id.get()), min(images, self._max_batch)
        self._add(column, images, ahead)
        try:
            yield
        finally:
            self._add(column, -images, -ahead)

    def _add(self, column: int, images: int, ahead: int) -> None:
        with self._changing:
            for kind, more in ((ADMITTED, images), (AHEAD, ahead)):
                self._row[kind, column] = self._told[kind, column] = int(self._row[kind, column]) + more
            self._gauge.set(int(self._row[ADMITTED].sum()))
