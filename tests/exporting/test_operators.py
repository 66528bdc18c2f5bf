"""Operators of TensorFlow Lite and of PyTorch that stand for ONNX nodes, beside ONNX Runtime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from exporting.coreml.network import Network
from exporting.errors import ExportError
from exporting.tflite.convert import convert
from exporting.tflite.graph import Graph

RNG = np.random.default_rng(0)
SHAPE = (1, 13, 10, 3)
PIXELS = RNG.integers(0, 256, SHAPE, dtype=np.uint8)


def model_of(nodes: Sequence[NodeProto], constants: dict[str, np.ndarray]) -> ModelProto:
    """Nodes from the maps `x` to `y`, behind what every backbone begins with."""
    before = [
        helper.make_node("Transpose", ["pixels"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "full"], ["x"]),
    ]
    held = [numpy_helper.from_array(each, name) for name, each in (constants | {"full": np.array([255.0], np.float32)}).items()]
    given = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", *SHAPE[1:]])
    made = onnx.ValueInfoProto(name="y")
    made.type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph([*before, *nodes], "g", [given], [made], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    onnx.checker.check_model(model)
    return model


def in_tflite(model: ModelProto) -> np.ndarray:
    graph = Graph()
    pixels = graph.tensor("pixels", SHAPE, np.uint8)
    content = graph.finished([pixels], [convert(graph, model, pixels)["y"]], {}, "")
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], PIXELS)
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    found: np.ndarray = interpreter.get_tensor(output["index"])
    return found.transpose(0, 3, 1, 2) if found.ndim == 4 else found


def in_torch(model: ModelProto) -> np.ndarray:
    levels = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        found: np.ndarray = Network(model)(levels)[0].numpy()
    return found


def compare(nodes: Sequence[NodeProto], constants: dict[str, np.ndarray]) -> None:
    model = model_of(nodes, constants)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"pixels": PIXELS})
    for found in (in_tflite(model), in_torch(model)):
        assert found.shape == expected.shape
        assert found == pytest.approx(expected, abs=1e-5)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
        ((4, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
        ((4, 3, 3, 3), {"pads": [0, 0, 1, 1], "strides": [2, 2]}),
        ((4, 3, 5, 3), {"pads": [2, 0, 1, 2], "strides": [1, 2]}),
        ((4, 3, 1, 1), {}),
        ((4, 3, 3, 3), {"pads": [2, 2, 2, 2], "dilations": [2, 2]}),
        ((3, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 3}),
        ((6, 1, 3, 3), {"pads": [1, 1, 1, 1], "group": 3, "strides": [2, 2]}),
    ],
)
def test_convolutions(kernel: tuple[int, ...], attributes: dict[str, Any]) -> None:
    node = helper.make_node("Conv", ["x", "kernel", "bias"], ["y"], **attributes)
    compare([node], {"kernel": weights(*kernel), "bias": weights(kernel[0])})
    compare([helper.make_node("Conv", ["x", "kernel"], ["y"], **attributes)], {"kernel": weights(*kernel)})


@pytest.mark.parametrize("attributes", [{}, {"pads": [1, 1, 1, 1], "strides": [2, 2]}, {"strides": [3, 3]}])
def test_pooling_of_values_below_zero(attributes: dict[str, Any]) -> None:
    nodes = [
        helper.make_node("Sub", ["x", "two"], ["below"]),
        helper.make_node("MaxPool", ["below"], ["y"], kernel_shape=[3, 3], **attributes),
    ]
    compare(nodes, {"two": np.array([2.0], np.float32)})


@pytest.mark.parametrize("operator", ["Relu", "LeakyRelu", "Sigmoid", "Softplus", "GlobalAveragePool", "Flatten", "Exp"])
def test_operators_of_maps(operator: str) -> None:
    nodes = [helper.make_node("Sub", ["x", "mean"], ["around"]), helper.make_node(operator, ["around"], ["y"])]
    compare(nodes, {"mean": np.array([0.2, 0.5, 0.9], np.float32).reshape(3, 1, 1)})


def test_what_follows_maps() -> None:
    nodes = [
        helper.make_node("Clip", ["x", "least", "most"], ["clipped"]),
        helper.make_node("ReduceMean", ["clipped", "sides"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "matrix", "bias"], ["product"], transB=1),
        helper.make_node("Softmax", ["product"], ["y"], axis=-1),
    ]
    constants = {"matrix": weights(5, 3), "bias": weights(5), "sides": np.array([2, 3])}
    compare(nodes, constants | {"least": np.array(0.1, np.float32), "most": np.array(0.7, np.float32)})


def test_other_operators_are_refused_by_name() -> None:
    model = model_of([helper.make_node("Erf", ["x"], ["y"])], {})
    for attempt in (in_tflite, in_torch):
        with pytest.raises(ExportError, match="Erf"):
            attempt(model)
    rows = [helper.make_node("Flatten", ["x"], ["rows"])]
    forms: dict[str, list[NodeProto]] = {
        "MaxPool": [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2])],
        "Gemm": [*rows, helper.make_node("Gemm", ["matrix", "rows"], ["y"], transA=1)],
        "Slice": [*rows, helper.make_node("Slice", ["rows", "start", "end", "axis", "step"], ["y"])],
    }
    constants = {"matrix": weights(1, 5)} | {name: np.array([at]) for at, name in enumerate(("start", "axis", "step", "end"))}
    for name, nodes in forms.items():
        model = model_of(nodes, constants)
        for attempt in (in_tflite, in_torch):
            with pytest.raises(ExportError, match=name):
                attempt(model)
    for nodes in (
        [helper.make_node("Flatten", ["x"], ["y"], axis=2)],
        [*rows, helper.make_node("Split", ["rows"], ["y", "more"], num_outputs=2)],
    ):
        with pytest.raises(ExportError, match=nodes[-1].op_type):
            in_torch(model_of(nodes, {}))
    grouped = model_of(
        [helper.make_node("Conv", ["x", "first"], ["four"]), helper.make_node("Conv", ["four", "k"], ["y"], group=2)],
        {"first": weights(4, 3, 1, 1), "k": weights(4, 2, 3, 3)},
    )
    with pytest.raises(ExportError, match="several groups"):
        in_tflite(grouped)
