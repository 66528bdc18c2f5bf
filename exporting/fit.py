"""Pixels of any size to those that a backbone takes, as ONNX operators: what Pillow does in `models.images.preprocess`.

ONNX has a `Resize` with antialiasing. Its crop ends at the edge of the box, where Pillow still sees the pixels beside it. It
keeps fractions between its two passes, where Pillow rounds. So each pass is the product with a matrix of Pillow's weights, which
elementary operators make of the image's size:

    w[i, j] = f((j + ½ − c_i) / max(s, 1)) / Σ_j,    c_i = b + (i + ½) s

of output i and input j, with scale s, the box's edge b and the filter f. Pillow counts weights in 2⁻²² and adds up integers. So
do these products: in double precision they are exact.

Pillow 13 takes the rows first where an image is so tall that this leaves it less to do; before, it took the columns first. It
tells by lengths alone: `_tall` is what it was observed to do.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from exporting.names import IMAGE, PIXEL_VALUES
from exporting.steps import Steps, Value
from models.manifest import InputSpec, Interpolation


def fit(steps: Steps, spec: InputSpec, output: str) -> None:
    """Adds the steps from `IMAGE` to pixels, uint8 (N, spec.height, spec.width, 3), under the name `output`."""
    image = Value(steps, IMAGE)
    sides = _side(steps, image, 1), _side(steps, image, 2)
    _fit(steps, steps("Transpose", image, perm=[0, 3, 1, 2]).cast(np.float64), sides, spec, output)


def fit_values(steps: Steps, spec: InputSpec, output: str) -> None:
    """Adds the steps from `PIXEL_VALUES` to pixels under the name `output`, as `fit` does."""
    values = Value(steps, PIXEL_VALUES)
    sides = _side(steps, values, 2), _side(steps, values, 3)
    _fit(steps, values.cast(np.float64), sides, spec, output)


def _fit(steps: Steps, channels: Value, sides: tuple[Value, Value], spec: InputSpec, output: str) -> None:
    """Adds the steps from levels, float64 (N, 3, H, W)."""
    down, across = _both_weights(steps, sides, spec)
    across = across.apply("Transpose", perm=[1, 0])

    def rows_first(branch: Steps) -> Value:
        return _rounded(_rounded(down.on(branch) @ channels) @ across)

    def columns_first(branch: Steps) -> Value:
        return _rounded(down.on(branch) @ _rounded(channels.on(branch) @ across))

    fitted = steps.either(_tall(*sides, spec), rows_first, columns_first)
    steps("Cast", fitted.apply("Transpose", perm=[0, 2, 3, 1]), output=output, to=TensorProto.UINT8)


def weights(spec: InputSpec, rows: int, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the weights of images of one size, in 2⁻²²: whole numbers (spec.height, rows) and (spec.width, columns)."""
    steps = Steps("weights")
    lengths = [steps.stored(np.array([float(each)])).cast(np.float64) for each in (rows, columns)]
    made = _both_weights(steps, lengths, spec)
    outputs = [helper.make_tensor_value_info(each.name, TensorProto.DOUBLE, None) for each in made]
    graph = helper.make_graph(steps.nodes, "weights", [], outputs, steps.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    down, across = (np.asarray(each, np.float64) for each in ReferenceEvaluator(model).run(None, {}))
    return down, across


_ONE = float(2**22)  # a weight of one, as Pillow counts it


def _side(steps: Steps, image: Value, axis: int) -> Value:
    """Returns the length of an axis, float64 (1,)."""
    return steps("Shape", image, start=axis, end=axis + 1).cast(np.float64)


def _tall(rows: Value, columns: Value, spec: InputSpec) -> Value:
    """Returns whether Pillow takes the rows first, a boolean (1,)."""
    return ((columns - float(spec.width)).at_least(0.0) * 2.0).below(rows - float(spec.height))


def _both_weights(steps: Steps, sides: Sequence[Value], spec: InputSpec) -> tuple[Value, Value]:
    """Returns the weights of the rows and of the columns, scaled by the rule of the input."""
    tall, wide = (side / float(part) for side, part in zip(sides, spec.covered, strict=True))
    scales = (tall, wide) if spec.resize == "stretch" else (tall.at_most(wide),) * 2
    sizes = (spec.height, spec.width)
    down, across = (_weights(steps, *each, spec.interpolation) for each in zip(sides, sizes, scales, strict=True))
    return down, across


def _weights(steps: Steps, side: Value, size: int, scale: Value, interpolation: Interpolation) -> Value:
    """Returns the weights of `side` pixels in each of `size`, whole numbers, float64 (size, side)."""
    edge = ((side - scale * float(size)) * 0.5).at_least(0.0)
    start, end = (each.cast(np.float32).cast(np.float64) for each in (edge, side - edge))  # as Pillow holds a box
    own = (end - start) / float(size)
    centres = own * (np.arange(size)[:, None] + 0.5) + start
    first, step = (steps.stored(np.array(each, np.float64)) for each in (0.0, 1.0))
    last = steps("Squeeze", side, dtype=np.float64)
    pixels = steps("Range", first, last, step, dtype=np.float64) + 0.5
    distances = ((pixels - centres) / own.at_least(1.0)).apply("Abs")
    weights = _FILTERS[interpolation](distances)
    return (weights / weights.reduced("ReduceSum", 1) * _ONE + 0.5).apply("Floor")


def _rounded(sums: Value) -> Value:
    """Returns sums of weighted levels as levels that eight bits hold, float64."""
    return (sums / _ONE + 0.5).apply("Floor").at_least(0.0).at_most(255.0)


def _triangle(x: Value) -> Value:
    return (1.0 - x).at_least(0.0)


def _cubic(x: Value) -> Value:
    """Returns Keys' cubic convolution (1981) with a = −½, of distances."""
    near = (x * 1.5 - 2.5) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return x.below(1.0).where(near, x.below(2.0).where(far, 0.0))


_FILTERS = {"bilinear": _triangle, "bicubic": _cubic}
