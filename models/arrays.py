"""Arrays of any library: NumPy's in the host's memory, and PyTorch's tensors on any device. Nothing here imports PyTorch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

Array = Any  # The array API standard has no static type for "an array of any conforming library".
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Reals = NDArray[np.floating[Any]]
"""Floating-point numbers of any width."""


def on_host(array: Array) -> NDArray[Any]:
    """Returns a NumPy array as it is, and a tensor's values in a NumPy array. On a GPU it waits until they are computed."""
    values: NDArray[Any] = array if isinstance(array, np.ndarray) else array.cpu().numpy()
    return values


def concatenated(arrays: Sequence[Array]) -> Array:
    """Returns arrays of one kind, one after another."""
    return np.concatenate(arrays) if isinstance(arrays[0], np.ndarray) else array_namespace(arrays[0]).concat(list(arrays))
