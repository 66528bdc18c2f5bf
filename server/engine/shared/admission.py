"""Admission to an engine that several processes send images to: by what all of them have admitted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from prometheus_client import Gauge

from server.context import tenant_id
from server.engine.shared.board import COLUMNS, Board, column_of, packed, unpacked
from server.errors import Overloaded
from server.shares import room_of


class Admission:
    """The images that this process has admitted, beside those of the others. The rules are those of the batcher.

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
        self._own = Board.of_one_process()  # while no other process can be asked
        self._board, self._row = self._own, 0
        self._admitted = [0] * COLUMNS  # as in this process's row
        self._total = 0
        self._changing = threading.Lock()

    def move_to(self, board: Board | None, row: int = 0) -> None:
        """Tells a board, from now on, what this process has admitted; None if there is none now."""
        with self._changing:
            self._board, self._row = board or self._own, row
            self._board.rows[row] = self._admitted

    def room(self, tenant: str) -> int:
        """Returns the number of a tenant's images that would be admitted now."""
        board, column = self._board, column_of(tenant)
        rows = board.rows.copy()  # Others write meanwhile.
        admitted, ahead = unpacked(int(np.add.reduce(rows, axis=None)))
        mine, my_ahead = unpacked(sum(rows[:, column].tolist()))
        tenants = 1
        if mine != admitted:
            # The tenants take turns, so that no other is served more meanwhile than this one, and what it asks for now.
            each = [unpacked(counts) for counts in np.add.reduce(rows, axis=0).tolist() if counts]
            ahead = sum(min(images, my_ahead + self._max_batch) for _, images in each)
            tenants = len(each)
        if ahead * board.seconds_per_image > self._longest_wait and ahead >= 2 * self._max_batch:
            return 0
        return room_of(mine, admitted, tenants, self._capacity)

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        """Reserves room for a whole request. Raises Overloaded: there is no room now."""
        tenant = tenant_id.get()
        if images > self.room(tenant):
            raise Overloaded(
                f"the server is working on as many images as it takes, {self._capacity} at most and no more than "
                f"{self._longest_wait:g} seconds' work; try again"
            )
        column, ahead = column_of(tenant), min(images, self._max_batch)
        self._add(column, images, ahead)
        try:
            yield
        finally:
            self._add(column, -images, -ahead)

    def _add(self, column: int, images: int, ahead: int) -> None:
        with self._changing:
            self._total += images
            self._admitted[column] += packed(images, ahead)
            self._board.rows[self._row, column] = self._admitted[column]
            self._gauge.set(self._total)
