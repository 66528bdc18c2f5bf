"""Tables on a device: things of one kind and similar size in the slots of a few large tensors, the latest used ones kept.

Only the thread that looks things up uses them. A thing that nobody else holds any more gives its slot back.
"""

import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Generic, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from models.tensors import on_device

T = TypeVar("T")
Rows = Mapping[str, NDArray[Any]]
Shapes = tuple[tuple[int, ...], ...]
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
        self._tables: OrderedDict[Shapes, _Table] = OrderedDict()  # the least recently used first
        self._places: dict[int, Shapes] = {}
        self._gone: deque[int] = deque()

    @property
    def nbytes(self) -> int:
        """The size of all tensors in bytes."""
        return sum(table.nbytes for table in self._tables.values())

    def __len__(self) -> int:
        """The number of things that have a slot."""
        self.forget()
        return len(self._places)

    def look_up(self, things: Sequence[T]) -> list[Found]:
        """Returns the slots of things by table. A thing without a slot is copied to the device."""
        self.forget()
        wanted = {id(thing): thing for thing in things}
        for key in wanted:
            if key in self._places:
                self._tables.move_to_end(self._places[key])
        for thing in wanted.values():
            if id(thing) not in self._places:
                self._add(thing, wanted.keys())
        by_table: dict[Shapes, list[int]] = defaultdict(list)
        for position, thing in enumerate(things):
            by_table[self._places[id(thing)]].append(position)
        return [
            (members, table.tensors, [table.slot(id(things[position])) for position in members])
            for shapes, members in by_table.items()
            for table in [self._tables[shapes]]
        ]

    def forget(self) -> None:
        """Clears the slots of things that nobody else holds any more. Their ids may be those of new things from now on."""
        while self._gone:
            key = self._gone.popleft()
            if shapes := self._places.pop(key, None):
                self._tables[shapes].remove(key)

    def _add(self, thing: T, wanted: Set[int]) -> None:
        rows = self._rows(thing)
        shapes = tuple(row.shape for row in rows.values())
        table = self._tables.setdefault(shapes, _Table(self._device))
        self._tables.move_to_end(shapes)
        if not table.free:
            self._make_room(table, sum(row.nbytes for row in rows.values()) * max(1, table.capacity), wanted)
        if not table.free:
            table.grow(rows)
        table.write(id(thing), rows, weakref.finalize(thing, self._gone.append, id(thing)))
        self._places[id(thing)] = shapes

    def _make_room(self, table: "_Table", more: int, wanted: Set[int]) -> None:
        """Makes room for `more` bytes: drops whole tables that were not used for longest, and then this table's oldest thing."""
        for shapes, other in list(self._tables.items()):
            if self.nbytes + more <= self._max_bytes:
                return
            if other is not table and wanted.isdisjoint(other.slots):
                for key in list(other.slots):
                    del self._places[key]
                    other.remove(key)
                del self._tables[shapes]
        oldest = next((key for key in table.slots if key not in wanted), None)
        if oldest is not None and self.nbytes + more > self._max_bytes:
            del self._places[oldest]
            table.remove(oldest)


class _Table:
    """The tensors, and the slots of things by id, the least recently used first."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.tensors: dict[str, Tensor] = {}
        self.slots: OrderedDict[int, tuple[int, weakref.finalize[..., Any]]] = OrderedDict()
        self.free: list[int] = []
        self.capacity = 0

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def slot(self, key: int) -> int:
        self.slots.move_to_end(key)
        return self.slots[key][0]

    def grow(self, rows: Rows) -> None:
        """Doubles the number of slots."""
        more = max(1, self.capacity)
        for name, row in rows.items():
            empty = torch.zeros((more, *row.shape), dtype=torch.from_numpy(row).dtype, device=self._device)
            self.tensors[name] = torch.cat([self.tensors[name], empty]) if self.capacity else empty
        self.free = list(range(self.capacity + more - 1, self.capacity - 1, -1))
        self.capacity += more

    def write(self, key: int, rows: Rows, when_gone: "weakref.finalize[..., Any]") -> None:
        """Gives a thing a slot; `when_gone` says when nobody holds the thing any more."""
        slot = self.free.pop()
        for name, row in rows.items():
            self.tensors[name][slot] = on_device(row, self._device)
        when_gone.atexit = False
        self.slots[key] = slot, when_gone

    def remove(self, key: int) -> None:
        """Frees a slot. What it held is overwritten, since it may have been deleted."""
        slot, when_gone = self.slots.pop(key)
        when_gone.detach()
        for tensor in self.tensors.values():
            tensor[slot] = 0
        self.free.append(slot)
