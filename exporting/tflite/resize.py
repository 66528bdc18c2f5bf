"""Pixels of one fixed size to those that a backbone takes, as Pillow resizes them, in float32.

`exporting.fit` multiplies levels with whole numbers of 22 bits in float64, which TensorFlow Lite does not have. Here a weight is
2¹¹ · high + low. Both products are whole numbers below 2²⁴, so float32 adds them up exactly, and so does all that follows.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from exporting.fit import weights
from exporting.tflite.graph import Graph, Tensor
from models.manifest import InputSpec

_HALF = 2.0**11


def resize(graph: Graph, pixels: Tensor, spec: InputSpec) -> Tensor:
    """Adds the steps from uint8 (1, H, W, 3), H = W, to pixels (1, spec.height, spec.width, 3), and returns those."""
    _, rows, columns, _ = pixels.shape
    if (rows, columns) == (spec.height, spec.width) == spec.covered:
        return pixels
    down, across = weights(spec, rows, columns)
    levels = graph.operator("CAST", [pixels], graph.tensor("resize/levels", pixels.shape), schema.CastOptionsT())
    # Pillow takes the columns first, except of very tall images.
    wide = _reshaped(graph, levels, (rows, columns, 3))
    narrow = _pass(graph, across, wide, "resize/across")
    low = _pass(graph, down, _reshaped(graph, narrow, (1, rows, 3 * spec.width)), "resize/down")
    return _reshaped(graph, low, (1, spec.height, spec.width, 3))


def _pass(graph: Graph, whole: NDArray[np.float64], levels: Tensor, name: str) -> Tensor:
    """Adds the product of weights (n, m) and levels (B, m, k), rounded to levels."""
    high = np.floor(whole / _HALF)
    shape = (levels.shape[0], len(whole), levels.shape[2])

    def step(operator: str, inputs: list[Tensor], options: Any = None, version: int = 1) -> Tensor:
        made = graph.tensor(f"{name}/{operator}", shape)
        return graph.operator(operator, inputs, made, options, version)

    def number(value: float) -> Tensor:
        return graph.constant(f"{name}/{value}", np.array(value, np.float32))

    def product(part: NDArray[np.float64]) -> Tensor:
        held = graph.constant(f"{name}/weights", part.astype(np.float32)[None])
        return step("BATCH_MATMUL", [held, levels], schema.BatchMatMulOptionsT())

    def divided(value: Tensor) -> Tensor:
        """Adds the whole part of a value by 2¹¹; the product with a power of two is exact."""
        return step("FLOOR", [step("MUL", [value, number(1 / _HALF)], schema.MulOptionsT())])

    carried = step("ADD", [product(high), divided(product(whole - _HALF * high))], schema.AddOptionsT())
    rounded = divided(step("ADD", [carried, number(_HALF / 2)], schema.AddOptionsT()))
    positive = step("MAXIMUM", [rounded, number(0.0)], schema.MaximumMinimumOptionsT())
    return step("MINIMUM", [positive, number(255.0)], schema.MaximumMinimumOptionsT())


def _reshaped(graph: Graph, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    held = graph.constant(f"{value.name}/shape", np.array(shape, np.int32))
    return graph.operator("RESHAPE", [value, held], graph.tensor(f"{value.name}/reshaped", shape), schema.ReshapeOptionsT())
