"""Training goes on from a bundle, whose batch normalisation was folded away."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from models.backbones import Backbone, PixelBackbone, build_backbone
from models.bundle import (
    GOLDEN,
    ONNX,
    PAPER_BUNDLE,
    SHIPPED,
    STATISTICS,
    find_bundles,
    golden_bytes,
    open_bundle,
    statistics_bytes,
    write_bundle,
)
from models.manifest import Architecture, Imported
from tests.helpers.trainer_data import BASE, write_colours
from training.__main__ import main
from training.export.golden import golden_pixels
from training.export.graphs import to_onnx
from training.run.augment import Augmentation
from training.run.checkpoint import Checkpoint, CheckpointError
from training.run.folded import read_network, renormalise
from training.run.initial import initial_network

SIZE = 16
SHIPPED_BUNDLES = find_bundles(SHIPPED)


def trained(name: str, *widths: int, images: torch.Tensor) -> Backbone:
    """A network of random weights whose running statistics are those of the images. Some scales are negative."""
    torch.manual_seed(0)
    network = build_backbone(Architecture(name=name, widths=widths, mean=(0.5,) * 3, std=(0.25,) * 3), SIZE)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, std=0.7)
            torch.nn.init.normal_(module.bias)
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    return network.eval()


def bundle_of(network: Backbone, architecture: Architecture, folder: Path, classes: tuple[str, ...] = ()) -> Path:
    """A bundle of the network, with what a bundle needs besides."""
    pixels, exported = golden_pixels(SIZE, SIZE), PixelBackbone(network).eval()
    like = open_bundle(SHIPPED_BUNDLES[PAPER_BUNDLE]).manifest
    dim = network.embedding_dim
    training = like.training.model_copy(update={"classes": classes})
    spec = like.input.model_copy(update={"height": SIZE, "width": SIZE})
    changes = {"name": "tiny", "architecture": architecture, "embedding_dim": dim, "input": spec, "training": training}
    contents = {
        ONNX: to_onnx(exported, pixels[:2]),
        GOLDEN: golden_bytes(pixels, exported(torch.from_numpy(pixels)).detach().numpy()),
        STATISTICS: statistics_bytes(np.zeros(dim, np.float32), np.zeros((1, dim), np.float32)),
    }
    return write_bundle(folder, like.model_copy(update=changes), contents)


def conv4_bundle(folder: Path, classes: tuple[str, ...] = ()) -> Path:
    network = trained("conv4", 6, images=torch.rand(64, 3, SIZE, SIZE))
    return bundle_of(network, Architecture(name="conv4", widths=(6,), mean=(0.5,) * 3, std=(0.25,) * 3), folder, classes)


@pytest.mark.parametrize("widths", [(6,), (4, 5, 6, 7)], ids=["conv4", "resnet12"])
def test_what_was_folded_trains_like_the_network_that_it_was_made_from(widths: tuple[int, ...], tmp_path: Path) -> None:
    images, others = torch.rand(2, 64, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    others = others**2  # darker, so that these normalise otherwise
    name = "conv4" if len(widths) == 1 else "resnet12"
    network = trained(name, *widths, images=images)
    architecture = Architecture(name=name, widths=widths, mean=(0.5,) * 3, std=(0.25,) * 3)
    found = read_network(open_bundle(bundle_of(network, architecture, tmp_path)))
    with torch.no_grad():
        served = network(others)
        torch.testing.assert_close(found(others), served, rtol=1e-4, atol=1e-4)
        renormalise(found, [images[:32], images[32:]])
        torch.testing.assert_close(found(others), served, rtol=1e-4, atol=1e-4)
        # Batches normalise themselves now. Only epsilon and the correction of a variance for its count are different.
        expected = network.train()(others)
        assert (found.train()(others) - expected).norm() / expected.norm() < 0.01 < (served - expected).norm() / expected.norm()


def test_the_shipped_network_is_itself_and_hardly_another_in_training() -> None:
    bundle = open_bundle(SHIPPED_BUNDLES[PAPER_BUNDLE])
    network, pixels = read_network(bundle), torch.from_numpy(bundle.golden_pixels)
    torch.manual_seed(0)
    images, others = (Augmentation()(pixels.repeat(4, 1, 1, 1)) for _ in range(2))
    renormalise(network, [images])
    with torch.no_grad():
        np.testing.assert_allclose(PixelBackbone(network)(pixels).numpy(), bundle.golden_embeddings, atol=1e-4)
        served = network(others)
        cosines = torch.nn.functional.cosine_similarity(network.train()(others), served)
    assert float(cosines.min()) > 0.9


def test_a_run_starts_from_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, bundle = write_colours(tmp_path), conv4_bundle(tmp_path / "bundles", tuple(BASE))
    flags = ["--data", str(data / "images"), "--split", str(data / "split.json"), "--out", str(tmp_path / "run")]
    flags += ["--input-size", str(SIZE), "--epochs", "1", "--set", "learning_rate=1e-9", "--set", "weight_decay=0"]
    assert main(["run", "quick", "--init", str(bundle), "--weights", "DEFAULT", *flags]) == 1
    assert "has its own weights; leave out --weights" in capsys.readouterr().err
    assert main(["run", "quick", "--init", str(bundle), *flags]) == 0
    checkpoint, initial = Checkpoint.load(tmp_path / "run"), read_network(open_bundle(bundle))
    assert checkpoint.info.initial == "bundle tiny@1"
    assert checkpoint.info.inherited == tuple(BASE)
    assert checkpoint.architecture == open_bundle(bundle).manifest.architecture
    started, given = checkpoint.trained_backbone().network.state_dict(), initial.network.state_dict()
    torch.testing.assert_close(started["blocks.0.weight"], given["blocks.0.weight"])
    # The scale took over the deviation of what it scales; three steps of training moved only the statistics, a little.
    deviation = started["blocks.1.running_var"].sqrt()
    torch.testing.assert_close(started["blocks.1.weight"], given["blocks.1.weight"] * deviation, rtol=0.1, atol=0)
    assert (deviation - 1).abs().max() > 0.2


def test_a_shipped_bundle_is_known_by_its_id() -> None:
    initial = initial_network(PAPER_BUNDLE)
    assert initial.origin == f"bundle {PAPER_BUNDLE}"
    assert initial.input_size == 32
    assert initial.folded


def test_an_imported_bundle_is_refused(tmp_path: Path) -> None:
    source = conv4_bundle(tmp_path / "own")
    bundle = open_bundle(source)
    imported = Imported(source="torchvision:resnet18", weights="DEFAULT", sha256=None, images=5)
    manifest = bundle.manifest.model_copy(update={"training": imported})
    path = write_bundle(tmp_path, manifest, {name: bundle.read(name) for name in bundle.manifest.files})
    with pytest.raises(CheckpointError, match=r"tiny@1 was imported, .*; --init torchvision:resnet18"):
        read_network(open_bundle(path))


def test_the_projection_of_an_export_is_left_out() -> None:
    bundle = open_bundle(SHIPPED_BUNDLES["photos@1"])
    network = read_network(bundle)
    model = onnx.load_model_from_string(bundle.read(ONNX))
    (matrix,) = (numpy_helper.to_array(tensor) for tensor in model.graph.initializer if "linear" in tensor.name)
    with torch.no_grad():
        embeddings = PixelBackbone(network)(torch.from_numpy(bundle.golden_pixels)).numpy()
    assert embeddings.shape[1] == 1280
    np.testing.assert_allclose(embeddings @ matrix.T, bundle.golden_embeddings, atol=1e-3)


def scaled(model: onnx.ModelProto) -> None:
    kernel = next(tensor for tensor in model.graph.initializer if "blocks.4.weight" in tensor.name)
    kernel.CopyFrom(numpy_helper.from_array(1.1 * numpy_helper.to_array(kernel), kernel.name))


def renamed(model: onnx.ModelProto) -> None:
    for part in (*model.graph.initializer, *model.graph.node):
        part.name = part.name.replace("blocks.4.weight", "kernel")
    for node in model.graph.node:
        node.input[:] = [name.replace("blocks.4.weight", "kernel") for name in node.input]


@pytest.mark.parametrize(
    ("change", "message"), [(scaled, "its embeddings are off by"), (renamed, "it lacks 'backbone.network.blocks.4.weight'")]
)
def test_a_file_of_another_network_is_refused(change: Callable[[onnx.ModelProto], None], message: str, tmp_path: Path) -> None:
    bundle = open_bundle(conv4_bundle(tmp_path / "own"))
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    model = onnx.load_model_from_string(contents[ONNX])
    change(model)
    path = write_bundle(tmp_path, bundle.manifest, {**contents, ONNX: model.SerializeToString()})
    with pytest.raises(CheckpointError, match=f"{ONNX} is not a conv4 of this release: .*{message}"):
        read_network(open_bundle(path))
