"""The float16 version of a backbone: what is made at export computes what float32 does, and what would not is left out."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from models.bundle import ONNX, ONNX_FP16, PAPER_BUNDLE, SHIPPED, Bundle, BundleError, find_bundles, open_bundle, write_bundle
from models.engine import EngineError, on_cuda, open_engine
from server.engine.opening import open_file
from server.settings import Settings
from tests.helpers.bundles import small_bundle
from tests.helpers.cheap_runs import with_the_older_exporter, without_int8
from tests.helpers.images import encode, noise
from training.__main__ import main
from training.export import accuracy_gate
from training.export import bundle as exporting
from training.export.float16 import open_as_on_gpu, rounded
from training.export.graphs import GraphError, run_onnx, to_float16


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sum(first * second, axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    return found


def with_float16(folder: Path, source: Bundle, model: bytes | None = None) -> Bundle:
    """A copy of a bundle that has a float16 version."""
    contents = {name: (source.path / name).read_bytes() for name in source.manifest.files}
    half = to_float16(contents[ONNX]) if model is None else model
    manifest = source.manifest.model_copy(update={"name": "halved"})
    return open_bundle(write_bundle(folder, manifest, {**contents, ONNX_FP16: half}))


@pytest.fixture(scope="module")
def paper_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped residual network with a float16 version."""
    return with_float16(tmp_path_factory.mktemp("bundle"), open_bundle(find_bundles(SHIPPED)[PAPER_BUNDLE]))


def test_weights_and_arithmetic_are_float16_between_pixels_and_float32_embeddings(paper_bundle: Bundle) -> None:
    model = onnx.load_from_string(paper_bundle.read(ONNX_FP16))
    onnx.checker.check_model(model, full_check=True)
    assert {weight.data_type for weight in model.graph.initializer} <= {TensorProto.FLOAT16, TensorProto.INT64}
    (pixels,), (embeddings,) = model.graph.input, model.graph.output
    assert pixels.type.tensor_type.elem_type == TensorProto.UINT8
    assert embeddings.type.tensor_type.elem_type == TensorProto.FLOAT
    inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in inferred}
    convolved = [name for node in model.graph.node if node.op_type == "Conv" for name in node.output]
    assert {types[name] for name in convolved} == {TensorProto.FLOAT16}


def test_embeddings_agree_with_those_of_float32(paper_bundle: Bundle) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    wanted = open_engine(paper_bundle, "onnx").embed(pixels)
    for engine in (open_engine(paper_bundle, "onnx-fp16"), open_as_on_gpu(paper_bundle)):
        assert engine.kind == "onnx-fp16"
        assert engine.space.backbone.sha256 == paper_bundle.manifest.files[ONNX_FP16].sha256
        embeddings = engine.embed(pixels)
        assert embeddings.dtype == np.float32
        assert cosines(embeddings, wanted).min() > 0.9999
        assert not np.array_equal(embeddings, wanted)


def test_an_older_bundle_opens_without_it(tmp_path: Path, shipped_bundle: Path) -> None:
    small_bundle(shipped_bundle, tmp_path, "small")
    bundle = open_bundle(tmp_path / "small" / "1")
    assert open_engine(bundle).kind == "onnx"
    with pytest.raises(EngineError, match=r"has no backbone\.fp16\.onnx"):
        open_engine(bundle, "onnx-fp16")


def arithmetic(factor: float) -> bytes:
    """A float16 model: pixels times the factor twice, plus a third, divided by the factor twice."""
    names = ["pixels", "halves", "once", "twice", "more", "less", "rest", "embeddings"]
    operations = [
        ("Cast", []),
        ("Mul", ["factor"]),
        ("Mul", ["factor"]),
        ("Add", ["third"]),
        ("Div", ["factor"]),
        ("Div", ["factor"]),
    ]
    nodes = [
        helper.make_node(operation, [names[place], *constants], [names[place + 1]])
        for place, (operation, constants) in enumerate(operations)
    ]
    nodes[0].attribute.append(helper.make_attribute("to", TensorProto.FLOAT16))
    nodes.append(helper.make_node("Cast", ["rest"], ["embeddings"], to=TensorProto.FLOAT))
    constants = {"factor": factor, "third": 1 / 3}
    graph = helper.make_graph(
        nodes,
        "arithmetic",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 256])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", 256])],
        [numpy_helper.from_array(np.array(value, np.float16), name) for name, value in constants.items()],
    )
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString())


@pytest.mark.parametrize("factor", [1.7, 30.0])
def test_on_the_cpu_it_is_judged_with_the_rounding_and_the_overflow_of_float16(factor: float) -> None:
    pixels = np.arange(256, dtype=np.uint8)[None]
    f, third = np.float16(factor), np.float16(1 / 3)
    with np.errstate(over="ignore"):
        wanted = (pixels.astype(np.float16) * f * f + third) / f / f  # NumPy rounds after every operation
    assert wanted.dtype == np.float16
    assert np.isinf(wanted).any() == (factor == 30.0)
    (found,) = run_onnx(rounded(arithmetic(factor)))(pixels)
    np.testing.assert_array_equal(found, wanted.astype(np.float32))
    (unrounded,) = run_onnx(arithmetic(factor))(pixels)
    assert not np.array_equal(unrounded, found), "ONNX Runtime rounds by itself now"


def test_a_network_that_overflows_float16_is_not_opened(tmp_path: Path, paper_bundle: Bundle) -> None:
    """Its first layer's outputs are multiplied by 3.6e9 on the way, which float32 can hold."""
    model = onnx.load_from_string(paper_bundle.read(ONNX_FP16))
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    name, first.output[0] = first.output[0], "small"
    place = list(model.graph.node).index(first) + 1
    factor = numpy_helper.from_array(np.array(60000, np.float16), "factor")
    model.graph.initializer.append(factor)
    nodes = list(model.graph.node)
    nodes[place:place] = [
        helper.make_node("Mul", ["small", "factor"], ["large"]),
        helper.make_node("Mul", ["large", "factor"], ["larger"]),
        helper.make_node("Div", ["larger", "factor"], ["less"]),
        helper.make_node("Div", ["less", "factor"], [name]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    bundle = with_float16(tmp_path, paper_bundle, model.SerializeToString())
    with pytest.raises(BundleError, match="off by nan"):
        open_as_on_gpu(bundle)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    (tmp_path / "photographs").mkdir()
    for i in range(6):
        (tmp_path / "photographs" / f"{i}.png").write_bytes(encode(noise(40, 50, seed=i) // 4 + 30 * i))
    return tmp_path / "photographs"


def imported(photographs: Path, out: Path) -> Bundle:
    torch.manual_seed(0)
    flags = ["--weights", "none", "--input-size", "32", "--data", str(photographs), "--out", str(out)]
    assert main(["import", "torchvision:resnet18", *flags]) == 0
    return open_bundle(out / "resnet18" / "1")


def test_an_import_keeps_it_if_it_agrees_with_float32(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_int8(monkeypatch)
    with_the_older_exporter(monkeypatch)
    assert ONNX_FP16 in imported(photographs, tmp_path / "first").manifest.files
    assert "fp16 kept: its features have a cosine of 1.000 to float32's" in capsys.readouterr().out
    monkeypatch.setattr(accuracy_gate, "MIN_AGREEMENT", 1.01)
    assert ONNX_FP16 not in imported(photographs, tmp_path / "second").manifest.files
    assert "fp16 left out: its features have a cosine of" in capsys.readouterr().out


def test_a_bad_version_or_none_spoils_no_import(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def coarse(model: bytes) -> bytes:
        """A float16 version whose weights keep two bits."""
        half = onnx.load_from_string(to_float16(model))
        for weight in half.graph.initializer:
            if weight.data_type == TensorProto.FLOAT16:
                bits = numpy_helper.to_array(weight).view(np.uint16) & np.uint16(0xFE00)
                weight.CopyFrom(numpy_helper.from_array(bits.view(np.float16), weight.name))
        return bytes(half.SerializeToString())

    without_int8(monkeypatch)
    with_the_older_exporter(monkeypatch)
    monkeypatch.setattr(exporting, "to_float16", coarse)
    assert ONNX_FP16 not in imported(photographs, tmp_path / "first").manifest.files
    assert "fp16 left out: backbone.fp16.onnx: on this engine its embeddings are off by" in capsys.readouterr().out

    def fails(_model: bytes) -> bytes:
        raise GraphError("it cannot be converted")

    monkeypatch.setattr(exporting, "to_float16", fails)
    assert ONNX_FP16 not in imported(photographs, tmp_path / "second").manifest.files
    assert "no float16 version: it cannot be converted" in capsys.readouterr().out


@pytest.mark.parametrize(("five_shots", "kept"), [(0.8975, True), (0.8965, False)])
def test_a_version_that_loses_accuracy_is_left_out(five_shots: float, kept: bool) -> None:
    accuracies = {("plain", 1): 0.7, ("small", 1): 0.71, ("plain", 5): 0.9, ("small", 5): five_shots}
    scorer = SimpleNamespace(validation_accuracy=lambda engine, _options, shots: accuracies[engine, shots])
    said: list[str] = []
    arguments: tuple[Any, ...] = ("fp16", "small", "plain", scorer, None, said.append)
    assert accuracy_gate.loses_little(*arguments) == kept
    assert said == [f"fp16 {'kept' if kept else 'left out'}: loses {100 * (0.9 - five_shots):.2f} points (allowed 0.3)"]


def test_the_cpu_serves_tasks_of_the_file_where_the_gpu_is_gone(paper_bundle: Bundle, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, bundles_dir=paper_bundle.path.parent.parent)
    backbone = paper_bundle.space(ONNX_FP16).backbone
    opened = open_file(backbone, settings, on_cuda=True)
    assert opened.engine.space.backbone == backbone
    assert opened.engine.kind == "onnx-fp16" or on_cuda(opened.engine.kind)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(GraphError, match="cannot be converted to float16"):
        to_float16(b"no model")
