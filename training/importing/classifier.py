"""ONNX files that end in a classifier: recognised from the graph, and cut before the last layer.

A classifier's output has a number for each class that it was trained on. That is a poor embedding: the layer before knows more
of classes that the classifier never saw.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import onnx
from onnx import TensorProto, helper

from training.export.graphs import GraphError

LastLayer = Literal["cut", "keep"]

# Operators that may follow the last layer: they change only the form or scale of its values.
_FORM = frozenset(
    {"Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Dropout", "QuantizeLinear", "DequantizeLinear"}
)
_PROBABILITIES = frozenset({"Softmax", "LogSoftmax", "Sigmoid"})


@dataclass(frozen=True)
class Ending:
    """The end of a classifier.

    Attributes:
        probabilities: whether softmax or sigmoid follows the last layer.
        features: the value that goes into the last layer; None where the last layer is not linear.
    """

    probabilities: bool
    features: str | None


def without_classifier(model: onnx.ModelProto, name: str, last_layer: LastLayer | None) -> onnx.ModelProto:
    """Returns the model, or the part of it that computes the input of its last layer.

    Args:
        name: of its file.
        last_layer: whether the last layer is cut off or kept. None cuts it off only if the model ends in probabilities, since
            these are never an embedding.

    Raises:
        GraphError: the last layer is linear, so it may be a classifier, and `last_layer` is None; or it cannot be cut.
    """
    if last_layer == "keep":
        return model
    found = ending(model)
    if found is None:
        if last_layer == "cut":
            raise GraphError(f"{name} does not end in a linear layer that could be cut off; leave out --last-layer cut")
        return model
    if found.features is None:
        raise GraphError(
            f"{name} ends in probabilities of classes, which are no embedding, and what makes them is no linear layer that could "
            "be cut off; export the network without its classifier"
        )
    if last_layer is None and not found.probabilities:
        raise GraphError(
            f"{name} ends in a linear layer, as classifiers do, and the scores of classes are no embedding; "
            "--last-layer cut takes what goes into that layer, --last-layer keep takes the output as it is"
        )
    return cut(model, found.features)


def ending(model: onnx.ModelProto) -> Ending | None:
    """Returns the ending of a model with one output, if it is a linear layer or probabilities."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    constants = _constants(model)
    value, probabilities, added = model.graph.output[0].name, False, False
    while node := made_by.get(value):
        varying = [name for name in node.input if name and name not in constants]
        if node.op_type in _PROBABILITIES:
            probabilities, value = True, varying[0]
        elif node.op_type in _FORM and varying:
            value = varying[0]
        elif node.op_type == "Add" and len(varying) == 1 and not added:  # the bias of a MatMul
            added, value = True, varying[0]
        elif _is_linear(node, constants, model) and len(varying) == 1:
            return Ending(probabilities, varying[0])
        else:
            break
    return Ending(True, None) if probabilities else None


def cut(model: onnx.ModelProto, features: str) -> onnx.ModelProto:
    """Returns the part of a model that computes the value `features`, its only output."""
    needed, kept = {features}, []
    for node in reversed(model.graph.node):  # They are sorted, as ONNX asks.
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(_reads(node))
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    del graph.node[:], graph.initializer[:], graph.output[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in needed)
    graph.output.append(helper.make_tensor_value_info(features, TensorProto.FLOAT, None))
    return result


def _constants(model: onnx.ModelProto) -> set[str]:
    """Returns the values that no image changes, as far as they are made of initializers."""
    known = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if all(name in known for name in node.input if name):  # `Constant` has no input.
            known.update(node.output)
    return known


def _is_linear(node: onnx.NodeProto, constants: set[str], model: onnx.ModelProto) -> bool:
    if node.op_type in ("Gemm", "MatMul"):
        return node.input[1] in constants
    return node.op_type == "Conv" and _kernel(node, model) == [1, 1]  # of features (N, D, 1, 1), since no pooling follows


def _kernel(node: onnx.NodeProto, model: onnx.ModelProto) -> list[int]:
    stated = [list(attribute.ints) for attribute in node.attribute if attribute.name == "kernel_shape"]
    weights = (list(tensor.dims[2:]) for tensor in model.graph.initializer if tensor.name == node.input[1])
    return stated[0] if stated else next(weights, [])


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yields the values that a node uses, in the branches of an `If` and the bodies of a `Loop` too."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for part in inner.node:
                yield from _reads(part)
            yield from (output.name for output in inner.output)
