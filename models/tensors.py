"""PyTorch tensors, made and filled. It imports PyTorch, so the server imports it only where it has tensors."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Returns a tensor with the array's values.

    The copy to a GPU starts from page-locked memory, and work that is queued there later waits for it. On the CPU the tensor and
    the array may share memory.
    """
    array = np.ascontiguousarray(array)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def made_on(device: torch.device, shape: tuple[int, ...]) -> Tensor:
    """Returns a float32 tensor with memory for that shape. Its values are whatever the memory holds."""
    return torch.empty(shape, dtype=torch.float32, device=device)


def finish(device: torch.device) -> None:
    """Waits until a GPU has done what was queued on this thread's stream. Threads share one unless they choose another."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
