"""The shared parts of architectures. Several known tasks, each with images and classes of its own, are learned by one network.

Every architecture has the same trunk, of one network or several: that of the experiments of routing networks (Rosenbaum, Klinger
& Riemer, ICLR 2018, arXiv:1711.01239). It has four blocks (a 3 × 3 convolution with 32 filters, batch normalisation, a rectifier
and 2 × 2 max-pooling), then fully connected layers of 128 units. Every task has a linear head of its own.

Shape legend: T tasks, n images of each, N = T·n, K classes of each task, D features; 3HW are an image's channels, height and
width. For S and C see `training.architectures.layers`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.architectures.layers import Layer, Layers
from training.entries import entries


@dataclass(frozen=True)
class Setting:
    """The tasks, and the trunk that they share or have each.

    Attributes:
        tasks: T.
        ways: K, the classes of each task.
        side: of the square images, in pixels.
        width: C of every block.
        blocks: their number; each halves the side of the maps.
        hidden: the units of each fully connected layer; the last is D.
    """

    tasks: int
    ways: int
    side: int = 32
    width: int = 32
    blocks: int = 4
    hidden: tuple[int, ...] = (128, 128)

    @property
    def dim(self) -> int:
        """Returns D."""
        return self.hidden[-1]

    def convolutions(self, networks: int, further_inputs: int = 0) -> Layers:
        """Returns the trunk's blocks in that many networks. Each layer may have further channels of input."""
        inputs = [3, *[self.width] * (self.blocks - 1)]
        return Layers(Layer(networks, count + further_inputs, self.width, 3) for count in inputs)

    def fully_connected(self, networks: int, further_inputs: int = 0) -> Layers:
        """Returns the trunk's fully connected layers in that many networks."""
        kernels = [self.side // 2**self.blocks, *[1] * (len(self.hidden) - 1)]
        inputs = [self.width, *self.hidden[:-1]]
        return Layers(
            Layer(networks, count + further_inputs, units, kernel, full=True)
            for count, units, kernel in zip(inputs, self.hidden, kernels, strict=True)
        )

    def trunk(self, networks: int, further_inputs: int = 0) -> Layers:
        """Returns all layers of the trunk in that many networks."""
        return Layers([*self.convolutions(networks, further_inputs), *self.fully_connected(networks, further_inputs)])


class Heads(nn.Module):
    """A linear classifier for each task."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(setting.dim)
        self.weight = nn.Parameter(torch.empty(setting.tasks, setting.dim, setting.ways).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(setting.tasks, 1, setting.ways))

    def forward(self, features_TnD: Tensor) -> Tensor:
        """Returns logits (T, n, K)."""
        return torch.baddbmm(self.bias, features_TnD, self.weight)


class SharedNetwork(nn.Module, ABC):
    """A network for T known tasks, with a head for each."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.heads = Heads(setting)

    @abstractmethod
    def features(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns the features (T, n, D) of each task's own images, which the task's head classifies."""

    def forward(self, images_Tn3HW: Tensor) -> Tensor:
        """Returns logits (T, n, K): task t's classes for the images of task t."""
        logits: Tensor = self.heads(self.features(images_Tn3HW))
        return logits

    def losses(self, images_Tn3HW: Tensor, labels_Tn: Tensor) -> Tensor:
        """Returns what each task minimises, (T,): the mean cross-entropy of its images."""
        return task_losses(self(images_Tn3HW), labels_Tn)

    def penalty(self) -> Tensor:
        """Returns what is added to the mean of the tasks' losses, a scalar: nothing, unless an architecture has its own."""
        return torch.zeros((), device=self.heads.bias.device)


def task_losses(logits_TnK: Tensor, labels_Tn: Tensor) -> Tensor:
    """Returns the mean cross-entropy of each task's images, (T,)."""
    return functional.cross_entropy(logits_TnK.transpose(1, 2), labels_Tn, reduction="none").mean(dim=1)


def apart(maps_TnCHW: Tensor) -> Tensor:
    """Returns the maps as T networks see them that each have the images of one task, (n, T, C, H, W)."""
    return maps_TnCHW.transpose(0, 1)


def together(maps_TnCHW: Tensor) -> Tensor:
    """Returns the maps as networks see them that all have the images of every task, (N, 1, C, H, W)."""
    return maps_TnCHW.flatten(0, 1)[:, None]


def by_task(values_N: Tensor, tasks: int) -> Tensor:
    """Returns what each of N images has as what the n images of each of T tasks have: (N, …) as (T, n, …)."""
    return torch.unflatten(values_N, 0, (tasks, -1))


def of_images(values_TC: Tensor, count: int) -> Tensor:
    """Returns what each task has for each channel, for each of its n images, to multiply maps with, (N, 1, C, 1, 1)."""
    return values_TC.repeat_interleave(count, dim=0)[:, None, :, None, None]


def own(features_NTD: Tensor) -> Tensor:
    """Returns, of features by T networks of the images of every task, those of a task's images by its own network, (T, n, D)."""
    tasks = features_NTD.shape[1]
    return by_task(features_NTD, tasks).diagonal(dim1=0, dim2=2).permute(2, 0, 1)


@dataclass(frozen=True)
class Architecture:
    """One way to share, the entry of its file.

    Attributes:
        source: the paper.
        build: makes the untrained network.
    """

    name: str
    source: str
    build: Callable[[Setting], SharedNetwork]


def architectures() -> dict[str, Architecture]:
    """Returns the architectures of `training/architectures/` by name."""
    return entries("training.architectures", Architecture)
