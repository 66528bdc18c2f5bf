"""Puts the arithmetic from pixels to an ONNX file's expected input in front of it, inside the graph."""

import onnx
import onnx.compose
from onnx import TensorProto, helper

from models.bundle import PIXELS
from models.manifest import RGB
from training.export.graphs import EMBEDDINGS, GraphError, finished, first_line

Normalisation = tuple[RGB, RGB]

_OLDEST_OPSET = 7  # Sub and Div broadcast from here on.
_OLDEST_IR = 4  # Initializers need not be inputs from here on.


def interface(model: onnx.ModelProto, name: str) -> tuple[onnx.ValueInfoProto, onnx.ValueInfoProto]:
    """Returns the one input and the one output of a model.

    Raises:
        GraphError: it has another number of either, or its output is not float32.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    for what, values in (("input", inputs), ("output", model.graph.output)):
        if len(values) != 1:
            names = ", ".join(value.name for value in values)
            raise GraphError(f"{name} has {len(values)} {what}s ({names}); it needs one: images in, embeddings out")
    output = model.graph.output[0]
    if output.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise GraphError(f"{name} answers with {_describe(output)}; it needs float32 (N, D), the embedding")
    return inputs[0], output


def dimensions(value: onnx.ValueInfoProto) -> list[int | None]:
    """Returns the sizes of a value; None is a size that is left open."""
    return [part.dim_value or None for part in value.type.tensor_type.shape.dim]


def takes_pixels(source: onnx.ValueInfoProto, name: str) -> bool:
    """Returns True if an input is uint8 (N, H, W, 3), and False if it is float32 (N, 3, H, W).

    Raises:
        GraphError: it is neither.
    """
    match source.type.tensor_type.elem_type, dimensions(source):
        case TensorProto.UINT8, [_, _, _, 3]:
            return True
        case TensorProto.FLOAT, [_, 3, _, _]:
            return False
    raise GraphError(f"{name} takes {_describe(source)}; it needs float32 (N, 3, H, W), or uint8 (N, H, W, 3)")


def with_prefix(model: onnx.ModelProto, normalisation: Normalisation | None, size: tuple[int, int], name: str) -> bytes:
    """Returns the model as a bundle's backbone: uint8 (N, H, W, 3) -> float32 (N, D), N dynamic. `model` is changed.

    Args:
        normalisation: mean and standard deviation of each channel on the scale [0, 1]; None where the model takes pixels.

    Raises:
        GraphError: the model is too old to be extended.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise GraphError(f"{name} is written in ONNX's operators of version {opset}; export it with version 18")
    model = onnx.compose.add_prefix(model, "network/", inplace=True)
    source, target = interface(model, name)
    graph = model.graph
    nodes = [*_prefix(source.name, normalisation), *graph.node, helper.make_node("Flatten", [target.name], [EMBEDDINGS], axis=1)]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["N", *size, 3]))
    graph.output.append(helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, ["N", None]))
    for constant, values in zip(("mean", "std"), normalisation or (), strict=False):
        graph.initializer.append(helper.make_tensor(constant, TensorProto.FLOAT, (3, 1, 1), values))
    if normalisation:
        graph.initializer.append(helper.make_tensor("white", TensorProto.FLOAT, (), [255.0]))
    model.ir_version = max(model.ir_version, _OLDEST_IR)
    model.doc_string = ""
    try:
        return finished(model)
    except Exception as error:  # The checker and the writer share no base.
        raise GraphError(f"{name} cannot be extended: {first_line(error)}") from error


def _prefix(target: str, normalisation: Normalisation | None) -> list[onnx.NodeProto]:
    if normalisation is None:
        return [helper.make_node("Identity", [PIXELS], [target])]
    return [
        helper.make_node("Transpose", [PIXELS], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "white"], ["shares"]),
        helper.make_node("Sub", ["shares", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], [target]),
    ]


def _describe(value: onnx.ValueInfoProto) -> str:
    kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    shape = ", ".join("?" if side is None else str(side) for side in dimensions(value))
    return f"{kind} ({shape})"
