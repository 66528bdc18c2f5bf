"""Layers of several networks side by side: networks of one shape, each with weights of its own, as one grouped convolution.

Shape legend: N images, S networks, C channels of each network's maps, H and W their height and width.
"""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Layer(nn.Module):
    """A convolution with batch normalisation, then a rectifier, in each of S networks.

    A fully connected layer is a convolution whose kernel covers the whole map. It has no normalisation, since the few images that
    one network may see in a step are too few without the many places of a map.

    Args:
        networks: S.
        inputs, outputs: C of one network, before and after.
        kernel: side of the convolution's window. Odd windows slide over a padded map unless the layer is `full`.
        full: whether it is fully connected.
    """

    def __init__(self, networks: int, inputs: int, outputs: int, kernel: int, *, full: bool = False) -> None:
        super().__init__()
        self.networks = networks
        padding = 0 if full else kernel // 2
        self.convolution = nn.Conv2d(networks * inputs, networks * outputs, kernel, padding=padding, groups=networks, bias=full)
        self.norm = nn.Identity() if full else nn.BatchNorm2d(networks * outputs)
        self.full = full

    def linear(self, maps_NSCHW: Tensor) -> Tensor:
        """Returns the maps before the rectifier, (N, S, C', H', W').

        Maps (N, 1, C, H, W) go to every network: one convolution with all their filters, which is faster than one of groups.
        """
        many = self.convolution
        linear = functional.conv2d(
            maps_NSCHW.flatten(1, 2), many.weight, many.bias, padding=many.padding, groups=maps_NSCHW.shape[1]
        )
        maps: Tensor = self.norm(linear)
        return torch.unflatten(maps, 1, (self.networks, -1))

    def finish(self, linear_NSCHW: Tensor) -> Tensor:
        """Returns the layer's output: after the rectifier and, for a layer of maps, 2 × 2 max-pooling."""
        active = functional.relu(linear_NSCHW)
        return active if self.full else pool(active)

    def forward(self, maps_NSCHW: Tensor) -> Tensor:
        """Returns the layer's output, (N, S, C', H', W')."""
        return self.finish(self.linear(maps_NSCHW))

    @torch.no_grad()
    def start_alike(self) -> None:
        """Gives every network the first one's weights, so that a unit means the same in all of them."""
        for parameter in self.convolution.parameters():
            of_network = torch.unflatten(parameter, 0, (self.networks, -1))
            of_network.copy_(of_network[:1].expand_as(of_network).clone())

    def weights(self) -> Tensor:
        """Returns the weights (S, P) of the convolution: each network's in a row."""
        return torch.cat([parameter.view(self.networks, -1) for parameter in self.convolution.parameters()], dim=1)


class Layers(nn.ModuleList):
    """Layers one after the other."""

    def __iter__(self) -> Iterator[Layer]:
        return cast("Iterator[Layer]", super().__iter__())

    def forward(self, maps_NSCHW: Tensor) -> Tensor:
        """Returns the output of the last layer, (N, S, C', H', W')."""
        for layer in self:
            maps_NSCHW = layer(maps_NSCHW)
        return maps_NSCHW


def pool(maps_NSCHW: Tensor) -> Tensor:
    """Returns the maps after 2 × 2 max-pooling."""
    return torch.unflatten(functional.max_pool2d(maps_NSCHW.flatten(1, 2), 2), 1, maps_NSCHW.shape[1:3])
