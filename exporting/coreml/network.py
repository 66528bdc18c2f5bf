"""The ONNX model of a task's answers as a PyTorch module, of which TorchScript can be made.

Shape legend: 3 channels, H and W of the backbone's input, K classes.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from exporting.errors import ExportError

Attributes = Mapping[str, Any]
_FLOAT = 1  # of onnx.TensorProto


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """Numbers of eight bits, or sums of their products, as whole numbers in float32.

    Below 2²⁴ these are exact, as they are in a runtime that adds them up in 32 bits. Sums of what they stand for are not. They
    would be rounded to other numbers of eight bits now and then, and further layers would make more of that.

    Attributes:
        whole: the numbers, less the one that stands for 0.
        scale: what 1 stands for, of a shape that goes with theirs.
    """

    whole: Tensor
    scale: Tensor

    @property
    def value(self) -> Tensor:
        """The real numbers that they stand for."""
        return self.whole * self.scale


class Network(nn.Module):
    """Maps levels from 0 to 255, float32 (1, 3, H, W), to probabilities (1, K), known (1,) as 0 or 1, and novelty (1,).

    Numbers of eight bits stay whole numbers, also where a convolution adds up their products.

    Args:
        model: from pixels (N, H, W, 3) to these.

    Raises:
        ExportError: an operator of the model is not written for PyTorch.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__()
        graph = model.graph
        self._input, self._outputs = graph.input[0].name, [each.name for each in graph.output]
        self._nodes = [(node, {each.name: helper.get_attribute_value(each) for each in node.attribute}) for node in graph.node]
        self._constants = {each.name: torch.from_numpy(np.array(numpy_helper.to_array(each))) for each in graph.initializer}
        unknown = sorted({node.op_type for node in graph.node} - _OPERATORS.keys() - {"Transpose"})
        if unknown:
            raise ExportError(f"the backbone has operators that are not written for Core ML: {', '.join(unknown)}")

    def forward(self, levels_13HW: Tensor) -> tuple[Tensor, ...]:
        values: dict[str, Any] = {**self._constants, self._input: levels_13HW}
        pixels = {self._input}  # what stands for values (1, H, W, 3) before their Transpose
        for node, attributes in self._nodes:
            try:
                inputs = [values[name] if name else None for name in node.input]
                values[node.output[0]] = self._step(node, attributes, inputs, node.input[0] in pixels)
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
                raise _unwritten(node.op_type) from error
            if node.op_type == "Cast" and node.input[0] in pixels:
                pixels.add(node.output[0])
        return tuple(_value(values[name]).to(torch.float32) for name in self._outputs)

    @staticmethod
    def _step(node: NodeProto, attributes: Attributes, inputs: Sequence[Any], pixels: bool) -> Any:
        if node.op_type == "Transpose" and pixels and list(attributes["perm"]) == [0, 3, 1, 2]:
            return inputs[0]
        if node.op_type == "Transpose" or (pixels and node.op_type != "Cast"):
            raise ExportError(f"the backbone has {node.op_type} in a place that is not written for Core ML")
        if node.op_type not in _OF_SCALED:
            inputs = [_value(each) for each in inputs]
        return _OPERATORS[node.op_type](attributes, *inputs)


def _value(each: Any) -> Any:
    return each.value if isinstance(each, Scaled) else each


def _unwritten(kind: str) -> ExportError:
    return ExportError(f"the backbone has {kind} in a form that is not written for Core ML")


def _padding(attributes: Attributes) -> Sequence[int]:
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or attributes.get("ceil_mode", 0):
        raise ExportError("the backbone pads maps in a way that is not written for Core ML")
    return tuple(attributes.get("pads", [0, 0, 0, 0]))


def _conv(attributes: Attributes, *inputs: Tensor | Scaled) -> Tensor | Scaled:
    scaled = [each for each in inputs if isinstance(each, Scaled)]
    if len(scaled) == len(inputs):
        maps, kernel, *bias = scaled
        scale = maps.scale * kernel.scale.reshape(1, -1, 1, 1)
        separate = maps.scale.numel() == 1 and kernel.scale.numel() == kernel.scale.shape[:1].numel()  # one for each output map
        if separate and all(torch.allclose(each.scale.reshape(-1), scale.reshape(-1), atol=0.0) for each in bias):
            return Scaled(_convolved(attributes, *(each.whole for each in scaled)), scale)
    return _convolved(attributes, *(_value(each) for each in inputs))


def _convolved(attributes: Attributes, maps: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    top, left, bottom, right = _padding(attributes)
    even = (top, left) == (bottom, right)
    padded = maps if even else functional.pad(maps, (left, right, top, bottom))
    around, strides = (top, left) if even else (0, 0), attributes.get("strides", [1, 1])
    return functional.conv2d(
        padded, kernel, bias, strides, around, attributes.get("dilations", [1, 1]), attributes.get("group", 1)
    )


def _pool(attributes: Attributes, maps: Tensor) -> Tensor:
    top, left, bottom, right = _padding(attributes)
    lowest = torch.finfo(torch.float32).min
    padded = functional.pad(maps, (left, right, top, bottom), value=lowest) if top or left or bottom or right else maps
    if max(attributes.get("dilations", [1])) > 1:
        raise _unwritten("MaxPool")
    pooled: Tensor = functional.max_pool2d(padded, attributes["kernel_shape"], attributes.get("strides", [1, 1]))
    return pooled


def _quantize(_: Attributes, value: Tensor | Scaled, scale: Tensor, zero: Tensor) -> Tensor:
    if scale.numel() > 1:
        raise _unwritten("QuantizeLinear")
    limits = torch.iinfo(zero.dtype)
    levels = value.whole * (value.scale / scale) if isinstance(value, Scaled) else value / scale
    return torch.clamp(torch.round(levels) + float(zero), limits.min, limits.max)


def _dequantize(attributes: Attributes, whole: Tensor, scale: Tensor, zero: Tensor) -> Scaled:
    whole, zero = whole.to(torch.float32), zero.to(torch.float32)  # of eight bits Core ML reshapes nothing
    if scale.ndim and scale.numel() > 1:
        shape = [1] * whole.ndim
        shape[attributes.get("axis", 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return Scaled(whole - zero, scale)


def _gemm(attributes: Attributes, value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if attributes.get("transA"):
        raise _unwritten("Gemm")
    product: Tensor = value @ (weight.T if attributes.get("transB") else weight) * attributes.get("alpha", 1.0)
    return product if bias is None else product + bias * float(attributes.get("beta", 1.0))


def _flatten(attributes: Attributes, value: Tensor) -> Tensor:
    if attributes.get("axis", 1) != 1:
        raise _unwritten("Flatten")
    return torch.flatten(value, 1)


def _clip(_: Attributes, value: Tensor, least: Tensor, most: Tensor) -> Tensor:
    return torch.clamp(value, float(least), float(most))


def _axes(attributes: Attributes, given: Tensor | None) -> list[int]:
    return list(attributes["axes"]) if given is None else [int(each) for each in given.reshape(-1)]


def _reduction(reduce: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduced(attributes: Attributes, value: Tensor, axes: Tensor | None = None) -> Tensor:
        return reduce(value, _axes(attributes, axes), bool(attributes.get("keepdims", 1)))

    return reduced


def _slice(_: Attributes, value: Tensor, start: Tensor, end: Tensor, axis: Tensor) -> Tensor:
    return value.narrow(int(axis), int(start), int(end) - int(start))


def _cast(attributes: Attributes, value: Tensor) -> Tensor:
    if attributes["to"] != _FLOAT:
        raise _unwritten("Cast")
    return value.to(torch.float32)


def _alone(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda _, value: function(value)


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda _, one, other: function(one, other)


_OF_SCALED = frozenset({"Conv", "QuantizeLinear"})  # Others get what the numbers stand for.
_OPERATORS: Mapping[str, Callable[..., Tensor | Scaled]] = {
    "Add": _two(operator.add),
    "Cast": _cast,
    "Clip": _clip,
    "Conv": _conv,
    "DequantizeLinear": _dequantize,
    "Div": _two(operator.truediv),
    "Exp": _alone(torch.exp),
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _alone(lambda maps: maps.mean((2, 3), keepdim=True)),
    "Identity": _alone(lambda value: value),
    "LeakyRelu": lambda attributes, value: functional.leaky_relu(value, attributes.get("alpha", 0.01)),
    "Less": _two(operator.lt),
    "LessOrEqual": _two(operator.le),
    "Log": _alone(torch.log),
    "MatMul": _two(operator.matmul),
    "Max": _two(torch.maximum),
    "MaxPool": _pool,
    "Min": _two(torch.minimum),
    "Mul": _two(operator.mul),
    "QuantizeLinear": _quantize,
    "ReduceMax": _reduction(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "Relu": _alone(functional.relu),
    "Round": _alone(torch.round),
    "Sigmoid": _alone(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda attributes, value: torch.softmax(value, attributes.get("axis", -1)),
    "Softplus": _alone(functional.softplus),
    "Sqrt": _alone(torch.sqrt),
    "Squeeze": lambda attributes, value, axes=None: value.squeeze(_axes(attributes, axes)),
    "Sub": _two(operator.sub),
    "Where": lambda _, condition, yes, no: torch.where(condition, yes, no),
}
