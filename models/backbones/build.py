"""Builds a network from an architecture's description, with the pixel arithmetic that belongs to it."""

from typing import cast

import torch
from torch import Tensor, nn

from models.backbones.conv4 import Conv4
from models.backbones.efficientnet_lite import EFFICIENTNET_LITE
from models.backbones.pretrained import build_pretrained, is_pretrained
from models.backbones.resnet12 import ResNet12
from models.manifest import Architecture

_KNOWN = ", ".join(("resnet12", "conv4", *EFFICIENTNET_LITE, "torchvision:NAME", "timm:NAME"))


class Backbone(nn.Module):
    """A network with its normalisation: images (N, 3, H, W) in [0, 1] -> embeddings (N, D).

    Args:
        network: maps normalised images to embeddings; has the attribute `embedding_dim`.
        mean, std: of each colour channel over the base classes, on the scale [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    @property
    def embedding_dim(self) -> int:
        return cast(int, self.network.embedding_dim)

    def forward(self, x_N3HW: Tensor) -> Tensor:
        embeddings: Tensor = self.network(self.normalised(x_N3HW))
        return embeddings

    def normalised(self, x_N3HW: Tensor) -> Tensor:
        """Returns the normalised images, which the network sees."""
        return (x_N3HW - self.mean) / self.std


class PixelBackbone(nn.Module):
    """The network of a bundle: pixels uint8 (N, H, W, 3) -> embeddings float32 (N, D).

    Cast, scaling and normalisation are inside, so that no caller can get them wrong.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels_NHW3: Tensor) -> Tensor:
        embeddings: Tensor = self.backbone(pixels_NHW3.permute(0, 3, 1, 2).to(torch.float32) / 255.0)
        return embeddings


def build_backbone(architecture: Architecture, input_size: int, dropblock: float = 0.0) -> Backbone:
    """Returns the untrained network that `architecture` describes, for square images of `input_size` pixels.

    Args:
        dropblock: rate of DropBlock in training, where the network has it.

    Raises:
        ValueError: the architecture's name or parameters are unknown.
    """
    network: nn.Module
    match architecture.name:
        case "resnet12":
            network = ResNet12(architecture.widths, dropblock)
        case "conv4":
            network = Conv4(architecture.widths[0], input_size)
        case name if is_pretrained(name):
            network = build_pretrained(name, input_size)
        case name:
            raise ValueError(f"unknown architecture {name!r}; known: {_KNOWN}")
    return Backbone(network, architecture.mean, architecture.std)
