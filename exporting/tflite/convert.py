"""An ONNX graph as operators of TensorFlow Lite, one image at a time.

Where a backbone is in eight bits, its file says of every value what whole numbers stand for (`QuantizeLinear`,
`DequantizeLinear`). TensorFlow Lite computes with the same ones. ONNX counts activations from 0 to 255 here, and TensorFlow Lite
from −128 to 127.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from exporting.errors import ExportError
from exporting.tflite.graph import Graph, Scale, Tensor
from exporting.tflite.operators import Operators

# TensorFlow Lite rounds a leaky ReLU of eight bits differently than ONNX Runtime.
_EIGHT_BITS = {"Add", "Conv", "MaxPool", "Relu"}
_CHANNELS_FIRST = [0, 3, 1, 2]


def convert(graph: Graph, model: ModelProto, pixels: Tensor) -> dict[str, Tensor]:
    """Adds the operators of a model and returns its outputs by their names.

    Args:
        model: its only input are pixels (N, H, W, 3).
        pixels: of one image, (1, H, W, 3).

    Raises:
        ExportError: an operator of the model is not written for TensorFlow Lite.
    """
    return _Conversion(graph, model, pixels).outputs()


class _Conversion:
    def __init__(self, graph: Graph, model: ModelProto, pixels: Tensor) -> None:
        self._graph, self._model = graph, _of_one_image(model)
        self._operators = Operators(graph, _shapes(self._model))
        self._constants: dict[str, NDArray[Any]] = {
            each.name: numpy_helper.to_array(each) for each in self._model.graph.initializer
        }
        self._kernels: dict[str, tuple[NDArray[Any], Scale]] = {}
        self._whole: dict[str, Tensor] = {}  # in eight bits, by the name of what they stand for
        self._tensors = {self._model.graph.input[0].name: pixels}
        self._pixels = {self._model.graph.input[0].name}  # values in the order of the axes of pixels
        self._readers: dict[str, list[NodeProto]] = {}
        for node in self._model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def outputs(self) -> dict[str, Tensor]:
        for node in self._model.graph.node:
            self._add(node)
        return {each.name: self._real(each.name) for each in self._model.graph.output}

    def _add(self, node: NodeProto) -> None:
        names, (output, *_) = [name for name in node.input if name], node.output
        if node.op_type == "DequantizeLinear":
            self._dequantize(node)
        elif all(name in self._constants for name in names):
            self._constants[output] = self._computed(node)
        elif node.op_type == "QuantizeLinear":
            self._quantize(node)
        elif node.op_type == "Cast":
            self._cast(node)
        elif names[0] in self._pixels:
            self._turn(node)
        else:
            scale = self._scale_of_result(node)
            values = [self._value(name, whole=scale is not None) for name in names]
            made = self._operators.add(node, values, scale)
            (self._tensors if scale is None else self._whole)[output] = made

    def _value(self, name: str, *, whole: bool) -> Any:
        """Returns an input of an operator: a tensor, a constant, or in eight bits also a kernel with its scale."""
        if whole and name in self._whole:
            return self._whole[name]
        if whole and name in self._kernels:
            return self._kernels[name]
        return self._constants[name] if name in self._constants else self._real(name)

    def _turn(self, node: NodeProto) -> None:
        """Takes pixels as maps: they are held in that order already."""
        order = next((list(each.ints) for each in node.attribute if each.name == "perm"), None)
        if node.op_type != "Transpose" or order != _CHANNELS_FIRST:
            raise ExportError(f"the backbone begins with {node.op_type}, which is not written for TensorFlow Lite")
        self._tensors[node.output[0]] = self._tensors[node.input[0]]

    def _cast(self, node: NodeProto) -> None:
        """Turns levels into real numbers, if they are none yet."""
        (name, *_), (output, *_) = node.input, node.output
        held = self._real(name)
        if node.attribute[0].i != TensorProto.FLOAT:
            raise ExportError("the backbone has a Cast in a form that is not written for TensorFlow Lite")
        if held.dtype != np.float32:
            held = self._graph.operator("CAST", [held], self._graph.tensor(output, held.shape), schema.CastOptionsT())
        self._tensors[output] = held
        if name in self._pixels:
            self._pixels.add(output)

    def _dequantize(self, node: NodeProto) -> None:
        (name, *_), (output, *_) = node.input, node.output
        if name in self._whole:
            self._whole[output] = self._whole[name]
            return
        values = self._constants[name]
        self._constants[output] = self._computed(node)
        if values.dtype == np.int8:
            self._kernels[output] = (values, self._scale(node))

    def _quantize(self, node: NodeProto) -> None:
        (name, *_), (output, *_) = node.input, node.output
        if name in self._whole:  # the node that computed it has given it this scale already
            self._whole[output] = self._whole[name]
            return
        value = self._real(name)
        whole = self._graph.tensor(output, value.shape, np.int8, self._scale(node))
        self._whole[output] = self._graph.operator("QUANTIZE", [value], whole, schema.QuantizeOptionsT())

    def _scale_of_result(self, node: NodeProto) -> Scale | None:
        """Returns the scale of a node's output, if the node can be computed in eight bits and its readers want nothing else."""
        readers = self._readers.get(node.output[0], [])
        first, *rest = node.input
        known = set(self._whole) if node.op_type == "Add" else {*self._kernels, *self._constants}
        if node.op_type not in _EIGHT_BITS or first not in self._whole or any(each not in known for each in rest):
            return None
        if [each.op_type for each in readers] != ["QuantizeLinear"] or (node.op_type == "Conv" and rest[0] not in self._kernels):
            return None
        scale = self._scale(readers[0])
        return None if node.op_type == "MaxPool" and not _equal(scale, self._whole[first].scale) else scale

    def _scale(self, node: NodeProto) -> Scale:
        """Returns the scale of a `QuantizeLinear` or a `DequantizeLinear`."""
        scale, zero = (np.atleast_1d(self._constants[name]) for name in node.input[1:3])
        shift = 128 if zero.dtype == np.uint8 else 0
        return Scale(scale.astype(np.float32), zero.astype(np.int64) - shift)

    def _computed(self, node: NodeProto) -> NDArray[Any]:
        """Returns the output of a node whose inputs are constants."""
        given = {name: self._constants[name] for name in node.input if name}
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape)
            for name, each in given.items()
        ]
        graph = helper.make_graph([node], "constant", inputs, [helper.make_empty_tensor_value_info(node.output[0])])
        alone = helper.make_model(graph, opset_imports=self._model.opset_import)
        (result,) = ReferenceEvaluator(alone).run(None, given)
        return np.asarray(result)

    def _real(self, name: str) -> Tensor:
        """Returns a value in real numbers."""
        if name not in self._tensors:
            whole = self._whole[name]
            real = self._graph.tensor(f"{name}/real", whole.shape)
            self._tensors[name] = self._graph.operator("DEQUANTIZE", [whole], real, schema.DequantizeOptionsT(), 2)
        return self._tensors[name]


def _equal(one: Scale, other: Scale | None) -> bool:
    return other is not None and bool((one.scale == other.scale).all() and (one.zero == other.zero).all())


def _of_one_image(model: ModelProto) -> ModelProto:
    """Returns a copy of a model whose first axis has the length of 1."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for each in (*copy.graph.input, *copy.graph.output):
        each.type.tensor_type.shape.dim[0].dim_value = 1
    return copy


def _shapes(model: ModelProto) -> Mapping[str, tuple[int, ...]]:
    """Returns the shapes of all values.

    Raises:
        ExportError: one of them depends on more than the sizes of the input.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise ExportError(f"the shapes inside the backbone cannot be told: {error}") from error
    found = {
        each.name: tuple(dim.dim_value for dim in each.type.tensor_type.shape.dim)
        for each in (*inferred.value_info, *inferred.output)
    }
    if any(0 in shape for shape in found.values()):
        raise ExportError("the shapes inside the backbone change with the image")
    return found
