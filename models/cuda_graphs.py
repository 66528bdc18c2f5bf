"""Functions of PyTorch tensors, replayed as CUDA graphs. It imports PyTorch.

A GPU computes an operation on small tensors sooner than the host starts the next one. A graph starts a whole sequence of them at
once (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

import torch
from torch import Tensor

Function = Callable[..., Sequence[Tensor]]

_KEPT = 16  # shapes
_ONE_AT_A_TIME = Lock()  # PyTorch allows one capture at a time in a process.
_done: dict[torch.device, torch.cuda.Event] = {}  # the latest replay on each device
_log = logging.getLogger(__name__)


class Replayed:
    """A function of tensors. On a GPU, a shape that comes again is captured as a graph and replayed.

    A shape that comes only once is not worth the capture. Tensors of other devices are handed to the function as they are. So are
    those of a shape whose capture failed. The latest used shapes are kept. Thread-safe.

    The first dimension of each tensor counts rows. Rows are filled up to a power of two, so that few graphs serve many numbers of
    rows. There are two at least: for single matrices, PyTorch calls other solvers, which use the host's memory.

    Args:
        function: returns tensors of as many rows as it is given, and no row changes another. It reads nothing of its tensors on
            the host, and copies nothing from there.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._known: OrderedDict[object, Function | None] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        """Returns the function's tensors, which are the caller's own."""
        with torch.inference_mode(mode=False), torch.no_grad():
            if not inputs[0].is_cuda:
                return self._function(*inputs)
            with torch.cuda.device(inputs[0].device), _ONE_AT_A_TIME:
                return self._known_for(inputs)(*inputs)

    def _known_for(self, inputs: Sequence[Tensor]) -> Function:
        """Returns the graph for inputs of this shape, or the function where there is none."""
        rows = _filled_up(len(inputs[0]))
        key = rows, inputs[0].device, *(each.shape[1:] for each in inputs), *(each.dtype for each in inputs)
        is_known = key in self._known
        known = self._known.pop(key, None)
        if is_known and known is None:
            known = self._captured(rows, inputs)
        self._known[key] = known
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return known or self._function

    def _captured(self, rows: int, inputs: Sequence[Tensor]) -> Function:
        stream = torch.cuda.current_stream()
        try:
            return _Graph(self._function, [each.new_zeros((rows, *each.shape[1:])) for each in inputs])
        except RuntimeError:
            torch.cuda.set_stream(stream)  # A capture that fails at its end leaves the thread on its own stream.
            _log.warning("no CUDA graph of %s for these shapes; it runs without one", self._function, exc_info=True)
            return self._function


class _Graph:
    """A captured function. It reads from tensors of its own, and one call at a time uses them."""

    def __init__(self, function: Function, inputs: Sequence[Tensor]) -> None:
        self._inputs = inputs
        self._graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        # The libraries behind some operations prepare themselves when first called, which a capture does not allow.
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            function(*inputs)
        # Other threads may use the GPU during the capture.
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._outputs = function(*inputs)

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        rows = len(inputs[0])
        # The latest replay may be on another thread's stream, and graphs share the workspaces of libraries.
        done = _done.setdefault(inputs[0].device, torch.cuda.Event())  # type: ignore[no-untyped-call]
        torch.cuda.current_stream().wait_event(done)
        for own, given in zip(self._inputs, inputs, strict=True):
            own[:rows].copy_(given)
        self._graph.replay()
        found = [output[:rows].clone() for output in self._outputs]
        done.record()
        return found


def _filled_up(rows: int) -> int:
    return max(2, 1 << (rows - 1).bit_length())
