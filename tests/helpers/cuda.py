"""CUDA graphs on the CPU, for tests without a GPU.

While it is captured, a sequence of operations is recorded and gives no values. A replay computes every operation again, into the
same tensors. As on a GPU, a capture fails where the host would wait.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.helpers.devices import WAITING


class RecordedGraph(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stands for `torch.cuda.CUDAGraph`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorded: list[tuple[Any, Any, Any, list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in {*WAITING, torch.ops.aten._local_scalar_dense}:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        found = func(*args, **(kwargs or {}))
        made = [each for each in tree_leaves(found) if isinstance(each, Tensor)]
        self._recorded.append((func, args, kwargs or {}, [] if func.is_view or func._schema.is_mutable else made))
        return found

    def forget_values(self) -> None:
        for *_, made in self._recorded:
            for tensor in made:
                tensor.fill_(torch.nan if tensor.is_floating_point() else 0)

    def replay(self) -> None:
        for func, args, kwargs, made in self._recorded:
            if not func.is_view:
                found = [each for each in tree_leaves(func(*args, **kwargs)) if isinstance(each, Tensor)]
                for tensor, value in zip(made, found, strict=False):
                    tensor.copy_(value)


@contextmanager
def _capture(graph: RecordedGraph, **_options: Any) -> Iterator[None]:
    with graph:
        yield
    graph.forget_values()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the tensors of the CPU pass for those of a GPU."""
    monkeypatch.setattr(Tensor, "is_cuda", True)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", RecordedGraph)
    monkeypatch.setattr(torch.cuda, "graph", _capture)
    for name in ("stream", "device"):
        monkeypatch.setattr(torch.cuda, name, nullcontext)
    for name in ("Stream", "Event", "current_stream", "set_stream"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())
