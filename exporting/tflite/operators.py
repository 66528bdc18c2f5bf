"""ONNX nodes as operators of TensorFlow Lite, one image at a time.

ONNX holds maps as (1, C, H, W), and TensorFlow Lite as (1, H, W, C): every value of four axes is held so here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import NodeProto, helper

from exporting.errors import ExportError
from exporting.tflite.graph import Graph, Scale, Tensor
from exporting.tflite.windows import convolution, pool

_ALONE = {
    "Abs": "ABS",
    "Exp": "EXP",
    "Floor": "FLOOR",
    "Log": "LOG",
    "Neg": "NEG",
    "Relu": "RELU",
    "Round": "ROUND",
    "Sigmoid": "LOGISTIC",
    "Sqrt": "SQRT",
}
_TWO: Mapping[str, tuple[str, Any]] = {
    "Add": ("ADD", schema.AddOptionsT),
    "Div": ("DIV", schema.DivOptionsT),
    "Less": ("LESS", schema.LessOptionsT),
    "LessOrEqual": ("LESS_EQUAL", schema.LessEqualOptionsT),
    "Max": ("MAXIMUM", schema.MaximumMinimumOptionsT),
    "Min": ("MINIMUM", schema.MaximumMinimumOptionsT),
    "Mul": ("MUL", schema.MulOptionsT),
    "Sub": ("SUB", schema.SubOptionsT),
}
_REDUCTIONS = {"GlobalAveragePool": "MEAN", "ReduceMax": "REDUCE_MAX", "ReduceMean": "MEAN", "ReduceSum": "SUM"}
_RESHAPES = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
_TRUTHS = {"Less", "LessOrEqual"}

Attributes = Mapping[str, Any]
Value = Tensor | NDArray[Any]
"""A tensor; or a constant in ONNX's order of axes."""


class Operators:
    """Adds the operators of ONNX nodes to a graph.

    Args:
        shapes: of all values, in ONNX's order of axes.
    """

    def __init__(self, graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._graph, self._shapes = graph, shapes

    def add(self, node: NodeProto, inputs: Sequence[Value], scale: Scale | None = None) -> Tensor:
        """Adds a node and returns its output.

        Args:
            inputs: at least one of them a tensor.
            scale: of the output, if inputs and output are whole numbers of eight bits.

        Raises:
            ExportError: TensorFlow Lite has no such operator, or this module does not know it.
        """
        kind, attributes = node.op_type, {each.name: helper.get_attribute_value(each) for each in node.attribute}
        output = self._output(node.output[0], np.bool_ if kind in _TRUTHS else np.int8 if scale else np.float32, scale)
        if kind in {"Conv", "MaxPool"}:
            return (convolution if kind == "Conv" else pool)(self._graph, inputs, output, attributes)
        if kind in _ALONE:
            return self._graph.operator(_ALONE[kind], [_tensor(inputs[0])], output)
        if kind in _TWO and len(inputs) == 2:
            name, options = _TWO[kind]
            return self._graph.operator(name, self._all_held(inputs, output), output, options(), 2 if scale else 1)
        if kind in _REDUCTIONS:
            return self._reduction(kind, attributes, inputs, output)
        others = dict.fromkeys(_RESHAPES, self._reshaped) | {
            "Clip": self._clip,
            "Gemm": self._product,
            "LeakyRelu": self._leaky_relu,
            "MatMul": self._product,
            "Slice": self._slice,
            "Softmax": self._softmax,
            "Softplus": self._softplus,
            "Where": self._where,
        }
        if kind not in others:
            raise ExportError(f"the backbone has the operator {kind}, which is not written for TensorFlow Lite")
        return others[kind](attributes, inputs, output)

    def _clip(self, _: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        if len(inputs) != 3:
            raise _unwritten("Clip")
        value, least, most = self._all_held(inputs, output)
        above = self._graph.operator("MAXIMUM", [value, least], self._like(output, "above"), schema.MaximumMinimumOptionsT())
        return self._graph.operator("MINIMUM", [above, most], output, schema.MaximumMinimumOptionsT())

    def _leaky_relu(self, attributes: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        options = schema.LeakyReluOptionsT()
        options.alpha = attributes.get("alpha", 0.01)
        return self._graph.operator("LEAKY_RELU", [_tensor(inputs[0])], output, options)

    def _softmax(self, attributes: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        if len(output.shape) != 2 or attributes.get("axis", -1) not in {-1, 1}:
            raise _unwritten("Softmax")
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        return self._graph.operator("SOFTMAX", [_tensor(inputs[0])], output, options)

    def _where(self, _: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        return self._graph.operator("SELECT_V2", self._all_held(inputs, output), output, schema.SelectV2OptionsT())

    def _reshaped(self, _: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        """Gives a value another shape, with its numbers in ONNX's order."""
        graph, value = self._graph, _tensor(inputs[0])
        flat = all(len(each) != 4 or each[1:3] == (1, 1) for each in (value.shape, output.shape))
        if len(output.shape) == 4 and output.shape != value.shape and not flat:
            raise _unwritten("a change of shape")
        if len(value.shape) == 4 and len(output.shape) != 4 and value.shape[1:3] != (1, 1):
            height, width, channels = value.shape[1:]
            order = graph.constant(f"{output.name}/order", np.array([0, 3, 1, 2], np.int32))
            turned = graph.tensor(f"{output.name}/turned", (1, channels, height, width))
            value = graph.operator("TRANSPOSE", [value, order], turned, schema.TransposeOptionsT())
        shape = graph.constant(f"{output.name}/shape", np.array(output.shape, np.int32))
        return graph.operator("RESHAPE", [value, shape], output, schema.ReshapeOptionsT())

    def _softplus(self, _: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        """Adds log(1 + exp x) as max(x, 0) + log(1 + exp −|x|), which no x makes infinite."""
        graph, one, zero = self._graph, *(self._held(np.array(each, np.float32), len(output.shape)) for each in (1.0, 0.0))
        value = step = _tensor(inputs[0])
        for name in ("ABS", "NEG", "EXP"):
            step = graph.operator(name, [step], self._like(output, name))
        step = graph.operator("ADD", [step, one], self._like(output, "sum"), schema.AddOptionsT())
        step = graph.operator("LOG", [step], self._like(output, "LOG"))
        positive = graph.operator("MAXIMUM", [value, zero], self._like(output, "positive"), schema.MaximumMinimumOptionsT())
        return graph.operator("ADD", [step, positive], output, schema.AddOptionsT())

    def _slice(self, _: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        value = _tensor(inputs[0])
        if len(inputs) != 4 or any(_array(each).size != 1 for each in inputs[1:]) or len(value.shape) == 4:
            raise _unwritten("Slice")
        start, _end, axis = (int(np.ravel(_array(each))[0]) for each in inputs[1:])
        if start < 0:
            raise _unwritten("Slice")
        begin = np.zeros(len(value.shape), np.int32)
        begin[axis] = start
        ends = [
            self._graph.constant(f"{output.name}/{at}", np.array(each, np.int32)) for at, each in enumerate((begin, output.shape))
        ]
        return self._graph.operator("SLICE", [value, *ends], output, schema.SliceOptionsT())

    def _reduction(self, kind: str, attributes: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        value, options = _tensor(inputs[0]), schema.ReducerOptionsT()
        if kind == "GlobalAveragePool":
            axes, options.keepDims = [2, 3], True
        else:
            axes = np.ravel(_array(inputs[1])).tolist() if len(inputs) > 1 else attributes["axes"]
            options.keepDims = bool(attributes.get("keepdims", 1))
        if len(value.shape) == 4:
            axes = [(0, 3, 1, 2)[axis] for axis in axes]
            if not options.keepDims and sorted(axes) != [1, 2]:
                raise _unwritten(kind)
        held = self._graph.constant(f"{output.name}/axes", np.array(axes, np.int32))
        return self._graph.operator(_REDUCTIONS[kind], [value, held], output, options)

    def _product(self, attributes: Attributes, inputs: Sequence[Value], output: Tensor) -> Tensor:
        value, weight = _tensor(inputs[0]), inputs[1]
        plain = all(attributes.get(name, 1.0) == 1.0 for name in ("alpha", "beta")) and not attributes.get("transA")
        if isinstance(weight, Tensor) or weight.ndim != 2 or len(value.shape) != 2 or not plain:
            raise _unwritten("Gemm or MatMul")
        rows = weight if attributes.get("transB") else weight.T
        bias = np.zeros(len(rows), np.float32) if len(inputs) < 3 else np.broadcast_to(np.ravel(_array(inputs[2])), len(rows))
        held = [self._graph.constant(f"{output.name}/{name}", each) for name, each in (("weight", rows), ("bias", bias))]
        return self._graph.operator("FULLY_CONNECTED", [value, *held], output, schema.FullyConnectedOptionsT())

    def _output(self, name: str, dtype: type[np.generic], scale: Scale | None) -> Tensor:
        shape = self._shapes[name]
        held = (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape
        return self._graph.tensor(name, held, dtype, scale)

    def _like(self, output: Tensor, name: str) -> Tensor:
        return self._graph.tensor(f"{output.name}/{name}", output.shape)

    def _all_held(self, inputs: Sequence[Value], output: Tensor) -> list[Tensor]:
        return [self._held(each, len(output.shape)) for each in inputs]

    def _held(self, value: Value, axes: int) -> Tensor:
        """Returns a value as a tensor; a constant beside maps as they are held."""
        if isinstance(value, Tensor):
            return value
        if axes == 4 and value.ndim:
            value = value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(0, 2, 3, 1)
        return self._graph.constant("constant", value)


def _unwritten(kind: str) -> ExportError:
    return ExportError(f"the backbone has {kind} in a form that is not written for TensorFlow Lite")


def _array(value: Value) -> NDArray[Any]:
    assert not isinstance(value, Tensor)
    return value


def _tensor(value: Value) -> Tensor:
    assert isinstance(value, Tensor)
    return value
