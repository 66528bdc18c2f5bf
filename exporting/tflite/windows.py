"""Convolution and pooling: operators of TensorFlow Lite whose windows move over maps (1, H, W, C)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from exporting.errors import ExportError
from exporting.tflite.graph import Graph, Scale, Tensor

_LOWEST = float(np.finfo(np.float32).min)
_LOWEST_INT8 = -128


def convolution(graph: Graph, inputs: Sequence[Any], output: Tensor, attributes: Mapping[str, Any]) -> Tensor:
    """Adds a convolution, of maps in real numbers or in eight bits, and returns its output.

    Args:
        inputs: the maps; the kernel, an array (O, I / groups, k, k); and perhaps the bias, an array (O,) of real numbers. In
            eight bits the kernel comes as a pair with its scale.
        attributes: of ONNX's `Conv`.

    Raises:
        ExportError: it has groups of several channels.
    """
    maps, given, *rest = inputs
    kernel, scale = given if isinstance(given, tuple) else (given, None)
    groups, channels, outputs = attributes.get("group", 1), maps.shape[3], len(kernel)
    steps, holes = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    maps, padding = _padded(graph, maps, kernel.shape[2:], attributes, 0)
    bias = np.asarray(rest[0] if rest else np.zeros(outputs), np.float32)
    deep = groups == 1
    if deep:
        options, name, held, axis = schema.Conv2DOptionsT(), "CONV_2D", kernel.transpose(0, 2, 3, 1), 0
    elif groups == channels:
        options, name, held, axis = schema.DepthwiseConv2DOptionsT(), "DEPTHWISE_CONV_2D", kernel.transpose(1, 2, 3, 0), 3
        options.depthMultiplier = outputs // channels
    else:
        raise ExportError("the backbone has a convolution of several groups, which is not written for TensorFlow Lite")
    options.padding, (options.strideH, options.strideW) = padding, steps
    options.dilationHFactor, options.dilationWFactor = holes
    if scale is None:
        constants = [graph.constant(f"{output.name}/kernel", held), graph.constant(f"{output.name}/bias", bias)]
        return graph.operator(name, [maps, *constants], output, options, 1 if max(holes) == 1 else 2)
    assert maps.scale is not None  # kernels in eight bits come with maps in eight bits
    products = Scale(maps.scale.scale * scale.scale, np.zeros(outputs, np.int64))
    whole = np.round(bias / products.scale).astype(np.int32)
    constants = [
        graph.constant(f"{output.name}/kernel", held, Scale(scale.scale, scale.zero, axis)),
        graph.constant(f"{output.name}/bias", whole, products),
    ]
    return graph.operator(name, [maps, *constants], output, options, 3)


def pool(graph: Graph, inputs: Sequence[Any], output: Tensor, attributes: Mapping[str, Any]) -> Tensor:
    """Adds a pooling by the largest value and returns its output.

    Args:
        inputs: the maps.
        attributes: of ONNX's `MaxPool`.

    Raises:
        ExportError: its windows have holes.
    """
    (maps,), size = inputs, attributes["kernel_shape"]
    if max(attributes.get("dilations", [1])) > 1:
        raise ExportError("the backbone has MaxPool in a form that is not written for TensorFlow Lite")
    maps, padding = _padded(graph, maps, size, attributes, _LOWEST if maps.scale is None else _LOWEST_INT8)
    options = schema.Pool2DOptionsT()
    options.padding, (options.strideH, options.strideW) = padding, attributes.get("strides", [1, 1])
    options.filterHeight, options.filterWidth = size
    return graph.operator("MAX_POOL_2D", [maps], output, options, 1 if output.scale is None else 2)


def _padded(graph: Graph, maps: Tensor, size: Sequence[int], attributes: Mapping[str, Any], value: float) -> tuple[Tensor, int]:
    """Returns the maps with the padding that TensorFlow Lite has no word for, and its word for the rest."""
    asked = np.reshape(attributes.get("pads", [0, 0, 0, 0]), (2, 2)).T  # of either axis, before and behind
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or attributes.get("ceil_mode", 0):
        raise ExportError("the backbone pads maps in a way that is not written for TensorFlow Lite")
    if not asked.any():
        return maps, schema.Padding.VALID
    spread = zip(maps.shape[1:3], size, attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1]), strict=True)
    if asked.tolist() == [_same(*each) for each in spread]:
        return maps, schema.Padding.SAME
    amounts = np.concatenate([[[0, 0]], asked, [[0, 0]]]).astype(np.int32)
    shape = [side + around for side, around in zip(maps.shape, amounts.sum(axis=1).tolist(), strict=True)]
    wider = graph.tensor(f"{maps.index}/padded", shape, maps.dtype, maps.scale)
    held = [graph.constant(f"{maps.index}/pads", amounts)]
    if value or maps.scale is not None:
        filler: NDArray[Any] = np.array([value], np.float32)
        if maps.scale is not None:
            filler = np.array([value or maps.scale.zero[0]], np.int8)
        held.append(graph.constant(f"{maps.index}/filler", filler, maps.scale))
        return graph.operator("PADV2", [maps, *held], wider, schema.PadV2OptionsT(), 2), schema.Padding.VALID
    return graph.operator("PAD", [maps, *held], wider, schema.PadOptionsT()), schema.Padding.VALID


def _same(side: int, size: int, step: int, hole: int) -> list[int]:
    """Returns the padding before and behind that TensorFlow calls `SAME`."""
    whole = max((-(-side // step) - 1) * step + (size - 1) * hole + 1 - side, 0)
    return [whole // 2, whole - whole // 2]
