"""Tensors that behave as if they were on a device, for tests without one.

`DeviceTensor` computes on the CPU, but its values stay inside. What would make a host wait for a GPU is counted or refused. A
test that wants to see the values says so (`revealed`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

_aten = torch.ops.aten

# Operations with a result whose shape or success depends on values. For these, PyTorch waits for a GPU.
WAITING = {
    _aten._linalg_check_errors,
    _aten._unique2,
    _aten.bincount,
    _aten.equal,
    _aten.masked_select,
    _aten.nonzero,
    _aten.unique_consecutive,
    _aten.unique_dim,
}
# Operations that compute nothing: views, and memory whose values do not matter.
_FREE = {_aten._unsafe_view, _aten.alias, _aten.detach, _aten.empty, _aten.empty_like, _aten.empty_strided, _aten.lift_fresh}


class HostCopyError(AssertionError):
    """More than one number was asked of a device."""


@dataclass
class Traffic:
    """The traffic between host and device.

    Attributes:
        waits: single numbers that came to the host, and operations for which the host would wait.
        copies: tensors of more than one number that came to the host.
        launches: operations on the device.
        copies_allowed: more copies are refused.
    """

    waits: int = 0
    copies: int = 0
    launches: int = 0
    copies_allowed: int = 0


_traffic = Traffic()


@contextmanager
def watched(copies: int = 0) -> Iterator[Traffic]:
    """Counts the traffic of all `DeviceTensor`s in the block, and lets as many of them be copied to the host."""
    global _traffic  # noqa: PLW0603
    before, _traffic = _traffic, Traffic(copies_allowed=copies)
    try:
        yield _traffic
    finally:
        _traffic = before


def on_device(values: np.ndarray[Any, Any] | Tensor) -> "DeviceTensor":
    """Returns a tensor with these values, as if it were on a device."""
    return DeviceTensor(torch.from_numpy(values) if isinstance(values, np.ndarray) else values)


def revealed(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Returns the values, for a test to compare."""
    assert isinstance(tensor, DeviceTensor)
    values: np.ndarray[Any, Any] = tensor.plain.numpy()
    return values


class DeviceTensor(Tensor):
    """A tensor whose values cannot come to the host, except one number at a time.

    It has no memory of its own that `numpy`, `tolist`, `__array__`, DLPack or `data_ptr` could read. Every operation on it gives
    another one.

    Attributes:
        plain: the plain tensor with the values.
    """

    plain: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "DeviceTensor":
        made: DeviceTensor = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            dtype=inner.dtype,
            device=inner.device,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
        )
        made.plain = inner
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"DeviceTensor({tuple(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Refuses or counts what PyTorch would not hand on, since it takes these tensors for ones of the CPU."""
        kwargs = kwargs or {}
        if func in {Tensor.numpy, Tensor.tolist, Tensor.__array__, Tensor.__dlpack__, Tensor.__reduce_ex__}:
            raise HostCopyError(f"{func.__name__} of {args[0]!r}")
        if func is Tensor.cpu or (func is Tensor.to and _names_the_host(*args[1:], *kwargs.values())):
            return _copied(args[0])
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        for name, written in _written(func, args, kwargs):
            if isinstance(written, Tensor) and not isinstance(written, DeviceTensor):
                raise HostCopyError(f"{func} writes to the host: {name}")
        found = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
        if packet is _aten._local_scalar_dense:
            _traffic.waits += 1
            return found
        if packet in WAITING or (packet in {_aten.index, _aten.index_put, _aten.index_put_} and _by_booleans(args[1])):
            _traffic.waits += 1
        if packet not in _FREE and not func.is_view:
            _traffic.launches += 1
        if isinstance(args[0], DeviceTensor) and found is args[0].plain:  # changed in place
            return args[0]
        return tree_map(lambda each: DeviceTensor(each) if isinstance(each, Tensor) else each, found)


def _copied(tensor: DeviceTensor) -> Tensor:
    if tensor.numel() > 1:
        _traffic.copies += 1
        if _traffic.copies > _traffic.copies_allowed:
            raise HostCopyError(f"copied to the host: {tensor!r}")
    _traffic.waits += 1
    return tensor.plain.clone()


def _names_the_host(*values: Any) -> bool:
    return any(isinstance(value, str | torch.device) and torch.device(value).type == "cpu" for value in values)


def _inner(value: Any) -> Any:
    return value.plain if isinstance(value, DeviceTensor) else value


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The arguments that an operation changes."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield argument.name, args[position] if position < len(args) else kwargs.get(argument.name)


def _by_booleans(indices: Sequence[Tensor | None]) -> bool:
    return any(index is not None and index.dtype in {torch.bool, torch.uint8} for index in indices)
