"""`headstart export --format coreml`: the network on its way, and the saved package evaluated without Apple's framework."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from exporting.coreml.network import Network
from exporting.model import find, to_answers
from headstart.__main__ import main
from models.engine import EngineKind
from models.processor import has_int8_instructions
from tests.helpers.classifiers import classifier_of

Printed = pytest.CaptureFixture[str]


@pytest.mark.parametrize("kind", ["onnx", "onnx-int8"])
def test_the_network_answers_as_onnx_runtime_does(kind: EngineKind, shipped_bundle: Path) -> None:
    found = find(classifier_of(shipped_bundle, "task_1", "a", kind).to_bytes(), None)
    model = to_answers(found)
    allowed = 2e-4 if kind == "onnx" or has_int8_instructions() else 0.05  # On other processors sums of ONNX Runtime saturate.
    images = found.bundle.golden_pixels[:3]
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {model.graph.input[0].name: images})
    network = Network(model)
    for at, image in enumerate(images):
        with torch.no_grad():
            outputs = network(torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32)))
        for told, theirs in zip(outputs, expected, strict=True):
            assert told[0].numpy() == pytest.approx(np.float32(theirs[at]), abs=allowed)


def quantized(rng: np.random.Generator, groups: int, axis: int, bias: float | None, pads: Sequence[int]) -> onnx.ModelProto:
    """A convolution in eight bits, of pixels (1, 8, 8, 3).

    Args:
        axis: of the kernel that has a scale for each place.
        bias: the unit of the bias beside that of ONNX's quantised operators; None without a bias.
    """
    kernel = rng.integers(-127, 128, (3, 3 // groups, 3, 3), dtype=np.int8)
    scales = np.linspace(0.002, 0.004, kernel.shape[axis], dtype=np.float32)
    constants: dict[str, Any] = {
        "level": np.array(1 / 64, np.float32),
        "zero": np.array(128, np.uint8),
        "kernel": kernel,
        "scales": scales,
        "none": np.zeros(len(scales), np.int8),
        "unit": np.array(0.05, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["maps"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["maps", "level"], ["small"]),
        helper.make_node("QuantizeLinear", ["small", "level", "zero"], ["whole"]),
        helper.make_node("DequantizeLinear", ["whole", "level", "zero"], ["input"]),
        helper.make_node("DequantizeLinear", ["kernel", "scales", "none"], ["weights"], axis=axis),
    ]
    if bias is not None:
        constants |= {"offsets": rng.integers(-9000, 9000, 3, dtype=np.int32), "zeros": np.zeros(3, np.int32)}
        constants["units"] = (np.resize(scales, 3) / 64 * bias).astype(np.float32)
        nodes.append(helper.make_node("DequantizeLinear", ["offsets", "units", "zeros"], ["bias"], axis=0))
    inputs = ["input", "weights"] + ["bias"] * (bias is not None)
    nodes += [
        helper.make_node("Conv", inputs, ["sums"], group=groups, pads=pads, kernel_shape=[3, 3]),
        helper.make_node("QuantizeLinear", ["sums", "unit", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "unit", "zero"], ["answers"]),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(
    ("groups", "axis", "bias", "pads"),
    [
        (1, 0, 1.0, [1, 1, 1, 1]),
        (3, 0, 1.0, [0, 0, 1, 1]),
        (1, 0, None, [0, 0, 0, 0]),
        (1, 0, 3.0, [1, 1, 1, 1]),  # a bias in other units
        (1, 1, None, [1, 1, 1, 1]),  # scales that cannot be taken out of the sums
    ],
)
def test_convolutions_in_eight_bits_are_those_of_onnx(groups: int, axis: int, bias: float | None, pads: Sequence[int]) -> None:
    rng = np.random.default_rng(1)
    model = quantized(rng, groups, axis, bias, pads)
    pixels = rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # each operator by itself
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"pixels": pixels})
    assert len(np.unique(expected)) > 30
    (found,) = Network(model)(torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_a_package_has_its_own_ending_and_replaces_nothing(shipped_bundle: Path, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "c.safetensors").write_bytes(classifier_of(shipped_bundle, "task_1", "c").to_bytes())
    export = ["export", str(tmp_path / "c.safetensors"), "--format", "coreml", "--out"]
    assert main([*export, str(tmp_path / "c.model")]) == 2
    assert "ends in .mlpackage" in capsys.readouterr().err
    (tmp_path / "c.mlpackage").mkdir()
    assert main([*export, str(tmp_path / "c.mlpackage")]) == 2
    assert "File exists" in capsys.readouterr().err
    assert main(["export", "check", str(tmp_path / "c.mlpackage")]) == 2
    assert "no Core ML package" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["onnx", "onnx-int8"])
def test_what_the_package_says_is_the_servers_answer(
    kind: EngineKind, shipped_bundle: Path, tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coremltools.models import MLModel  # It takes seconds, which every worker would spend if it stood above.

    from benchmarks.core_ml import Evaluated

    (tmp_path / "c.safetensors").write_bytes(classifier_of(shipped_bundle, "task_1", "c", kind).to_bytes())
    package = tmp_path / "c.mlpackage"
    assert main(["export", str(tmp_path / "c.safetensors"), "--format", "coreml", "--out", str(package)]) == 0
    described = MLModel(str(package), skip_model_load=True).get_spec().description
    assert described.input[0].type.WhichOneof("Type") == "imageType"
    assert [each.name for each in described.output] == ["label", "label_probs", "known", "novelty"]
    capsys.readouterr()

    monkeypatch.setattr(sys, "platform", "linux")
    assert main(["export", "check", str(package)]) == 2
    assert "on macOS alone" in capsys.readouterr().err

    evaluated = Evaluated(package)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(MLModel, "predict", lambda _, given: evaluated.predict(given))
    assert main(["--json", "export", "check", str(package)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["same"]) == (5, 5)
    assert told["probability"] < 2e-4 or not has_int8_instructions()
