"""The networks: their sizes, their shapes, and what they do to pixels."""

from collections.abc import Sequence

import pytest
import torch

from models.backbones import Conv4, PixelBackbone, ResNet12, build_backbone
from models.backbones.resnet12 import DropBlock
from models.manifest import Architecture

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def architecture(name: str, *widths: int) -> Architecture:
    return Architecture(name=name, widths=widths, mean=MEAN, std=STD)


def resnet12_parameters(widths: Sequence[int]) -> int:
    """Three 3x3 convolutions and a 1x1 shortcut a block, each followed by a scale and a shift for each channel."""
    return sum(9 * i * o + 9 * o * o + 9 * o * o + i * o + 4 * 2 * o for i, o in zip((3, *widths[:-1]), widths, strict=True))


@pytest.mark.parametrize(("widths", "millions"), [((64, 160, 320, 640), 12.4), ((64, 128, 256, 512), 8.0)])
def test_resnet12_has_the_published_size(widths: tuple[int, ...], millions: float) -> None:
    parameters = sum(p.numel() for p in ResNet12(widths).parameters())
    assert parameters == resnet12_parameters(widths)
    assert parameters / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("size", [16, 32, 84])
def test_embeddings_have_the_stated_width(size: int) -> None:
    images = torch.rand(2, 3, size, size)
    for network in (ResNet12((4, 5, 6, 7)), Conv4(8, size)):
        network.eval()
        assert network(images).shape == (2, network.embedding_dim)


def test_networks_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="four blocks"):
        ResNet12((64, 128, 256))
    with pytest.raises(ValueError, match="unknown architecture 'resnet13'"):
        build_backbone(architecture("resnet13", 64), 32)


@pytest.mark.parametrize("described", [architecture("resnet12", 4, 4, 8, 8), architecture("conv4", 8)], ids=lambda a: a.name)
def test_a_pixel_backbone_takes_raw_pixels(described: Architecture) -> None:
    backbone = build_backbone(described, 32).eval()
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    normalised = (pixels.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    embeddings = PixelBackbone(backbone).eval()(pixels)
    assert embeddings.dtype == torch.float32
    torch.testing.assert_close(embeddings, backbone.network(normalised.permute(0, 3, 1, 2).contiguous()))


def test_dropblock_is_the_identity_in_evaluation() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(DropBlock(0.5, 5).eval()(images), images)
    assert torch.equal(DropBlock(0.0, 5).train()(images), images)


@pytest.mark.parametrize(("rate", "size"), [(0.02, 5), (0.05, 3), (0.2, 1), (0.02, 99)])
def test_dropblock_drops_squares_of_the_stated_share_and_keeps_the_sum(rate: float, size: int) -> None:
    torch.manual_seed(0)
    ones = torch.ones(4000, 10, 12, 10)
    out = DropBlock(rate, size).train()(ones)
    dropped = out == 0
    assert float(dropped.float().mean()) == pytest.approx(rate, rel=0.1)  # squares that overlap drop a little less
    assert float(out.mean()) == pytest.approx(1.0, rel=1e-4)
    side = min(size, 10)
    squares = torch.nn.functional.max_pool2d(dropped.float().neg(), side, stride=1) == -1  # windows without a survivor
    covered = torch.nn.functional.max_pool2d(torch.nn.functional.pad(squares.float(), (side - 1,) * 4), side, stride=1)
    assert torch.equal(covered.bool(), dropped)


def test_dropblock_works_in_the_last_two_blocks_of_resnet12_in_training_only() -> None:
    network = ResNet12((4, 4, 4, 4), dropblock=0.3)
    assert [module.rate for module in network.modules() if isinstance(module, DropBlock)] == [0.0, 0.0, 0.3, 0.3]
    images = torch.rand(2, 3, 32, 32)
    assert not torch.equal(network.train()(images), network(images))
    assert torch.equal(network.eval()(images), network(images))
