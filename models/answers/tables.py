"""Tables on a device: things of one kind and similar size in the slots of a few large tensors, the latest used ones kept.

Only the thread that looks things up uses them. A thing that nobody else holds any more gives its slot back.
"""

import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from models.tensors import on_device

T = TypeVar("T")
Rows = Mapping[str, NDArray[Any]]
Found = tuple[list[int], Mapping[str, Tensor], list[int]]
"""Positions of things in one table, its tensors by name (slots, …), and the slots of these things."""


class Tables(Generic[T]):
    """A table for each shape of rows.

    Args:
        device: of the tensors.
        max_bytes: that all tensors may take. Things that are looked up together have room in any case.
        rows: returns a thing's arrays by name, under the same names for all things. Things with arrays of the same shapes share a
            table.
    """

    def __init__(self, device: torch.device, max_bytes: int, rows: Callable[[T], Rows]) -> None:
        self._device = device
        self._max_bytes = max_bytes
        self._rows = rows
        self._tables: dict[tuple[tuple[int, ...], ...], _Table] = {}
        self._places: dict[int, _Table] = {}
        self._gone: deque[int] = deque()

    @property
    def nbytes(self) -> int:
        """The size of all tensors in bytes."""
        return sum(table.nbytes for table in self._tables.values())

    def __len__(self) -> int:
        """The number of things that have a slot."""
        self._forget()
        return len(self._places)

    def look_up(self, things: Sequence[T]) -> list[Found]:
        """Returns the slots of things by table. A thing without a slot is copied to the device."""
        self._forget()
        wanted = {id(thing) for thing in things}
        for thing in things:
            if id(thing) not in self._places:
                self._add(thing, wanted)
        by_table: dict[_Table, list[int]] = defaultdict(list)
        for position, thing in enumerate(things):
            by_table[self._places[id(thing)]].append(position)
        return [
            (members, table.tensors, [table.slot(id(things[position])) for position in members])
            for table, members in by_table.items()
        ]

    def _add(self, thing: T, wanted: set[int]) -> None:
        rows = self._rows(thing)
        table = self._tables.setdefault(tuple(row.shape for row in rows.values()), _Table(self._device))
        if not table.free:
            size = sum(row.nbytes for row in rows.values()) * max(1, table.capacity)
            oldest = next((key for key in table.slots if key not in wanted), None)
            if oldest is not None and self.nbytes + size > self._max_bytes:
                self._places.pop(oldest)
                table.remove(oldest)
            else:
                table.grow(rows)
        table.write(id(thing), rows)
        self._places[id(thing)] = table
        weakref.finalize(thing, self._gone.append, id(thing)).atexit = False

    def _forget(self) -> None:
        """Frees the slots of things that are gone. Their ids may be those of new things from now on."""
        while self._gone:
            key = self._gone.popleft()
            if table := self._places.pop(key, None):
                table.remove(key)


class _Table:
    """The tensors, and the slots of things by id, the least recently used first."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.tensors: dict[str, Tensor] = {}
        self.slots: OrderedDict[int, int] = OrderedDict()
        self.free: list[int] = []
        self.capacity = 0

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def slot(self, key: int) -> int:
        self.slots.move_to_end(key)
        return self.slots[key]

    def grow(self, rows: Rows) -> None:
        """Doubles the number of slots."""
        more = max(1, self.capacity)
        for name, row in rows.items():
            empty = torch.zeros((more, *row.shape), dtype=torch.from_numpy(row).dtype, device=self._device)
            self.tensors[name] = torch.cat([self.tensors[name], empty]) if self.capacity else empty
        self.free = list(range(self.capacity + more - 1, self.capacity - 1, -1))
        self.capacity += more

    def write(self, key: int, rows: Rows) -> None:
        slot = self.free.pop()
        for name, row in rows.items():
            self.tensors[name][slot] = on_device(row, self._device)
        self.slots[key] = slot

    def remove(self, key: int) -> None:
        self.free.append(self.slots.pop(key))
