"""The images of each training step, drawn by the step's number and augmented on the training device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.dataset import ImageSet
from training.objectives import TURNS, turn
from training.run.batches import BatchSampler, mix
from training.run.learner import Share
from training.run.recipes import Recipe

if TYPE_CHECKING:
    from lightning_fabric import Fabric


_SLICE = 1024


@dataclass(frozen=True)
class TrainingSet:
    """One dataset to train on: its base images, and images of its validation classes or None not to measure."""

    base: ImageSet
    validation: ImageSet | None


class Feed:
    """The base images of every dataset, on the device, and the sampling of batches from them.

    A step's random numbers are drawn for the whole batch in every process, so the number of processes changes nothing.

    Args:
        datasets: base images, in the order of their class banks.
        fabric: the device, and this process's place among several.

    Raises:
        DataError: the datasets do not suffice for the recipe's batches.
    """

    def __init__(self, datasets: Sequence[ImageSet], recipe: Recipe, seed: int, fabric: "Fabric") -> None:
        self._recipe = recipe
        self._rank, self._world, self._device = fabric.global_rank, fabric.world_size, fabric.device
        sizes = [len(data) for data in datasets]
        self.steps_per_epoch = sum(sizes) // recipe.batch_size
        self._samplers = [
            BatchSampler(data.labels, recipe, size, seed, position)
            for position, (data, size) in enumerate(zip(datasets, mix(sizes, recipe, self._world), strict=True))
        ]
        self._images = [torch.from_numpy(data.images).to(self._device) for data in datasets]
        self._labels = [torch.from_numpy(data.labels).to(self._device) for data in datasets]

    def draw(self, step: int) -> tuple[Tensor, list[Share], Tensor | None]:
        """Returns this process's part of a step's batch, drawn with PyTorch's global random numbers.

        Returns:
            Images float32 (N, 3, H, W) in [0, 1]; their shares by dataset; and each image's quarter turns (N,), or None.
        """
        rotate = self._recipe.rotation == "all" or (self._recipe.rotation == "alternate" and step % 2 == 1)
        images, shares, turns = zip(*(self._draw_from(d, step, rotate) for d in range(len(self._samplers))), strict=True)
        merged = torch.cat(images).contiguous(memory_format=torch.channels_last)
        return merged, list(shares), torch.cat([t for t in turns if t is not None]) if rotate else None

    def _draw_from(self, dataset: int, step: int, rotate: bool) -> tuple[Tensor, Share, Tensor | None]:
        device, augmentation = self._device, self._recipe.augmentation
        batch = self._samplers[dataset].batch(step)
        draws = augmentation.draw(len(batch.images), device)
        own = batch.shard(self._rank, self._world)
        chosen = torch.from_numpy(batch.images[own]).to(device)
        tasks = batch.shard_tasks(self._rank, self._world)
        share = Share(dataset, self._labels[dataset][chosen], None if tasks is None else torch.from_numpy(tasks).to(device))
        images = augmentation.apply(self._images[dataset][chosen], draws.of(own))
        if not rotate:
            return images, share, None
        if self._recipe.rotation == "alternate":
            turns = torch.randint(0, TURNS, (len(batch.images),), device=device)[own]
            return turn(images, turns), share, turns
        turns = torch.arange(TURNS, device=device).repeat_interleave(len(images))
        return turn(images.repeat(TURNS, 1, 1, 1), turns), share.repeat(TURNS), turns


def channel_statistics(sets: Sequence[ImageSet]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Returns mean and standard deviation of each colour channel over all pixels, on the scale [0, 1]."""
    levels = np.arange(256) / 255.0
    means, deviations = [], []
    for channel in range(3):
        counts = sum(_histogram(images, channel) for images in sets)
        share = counts / np.sum(counts)
        mean = float(share @ levels)
        means.append(mean)
        deviations.append(float(np.sqrt(share @ (levels - mean) ** 2)))
    return (means[0], means[1], means[2]), (deviations[0], deviations[1], deviations[2])


def _histogram(images: ImageSet, channel: int) -> NDArray[np.int64]:
    """Counts each level of a channel, in slices: NumPy counts a copy that is eight times as large."""
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(images), _SLICE):
        counts += np.bincount(images.images[start : start + _SLICE, ..., channel].ravel(), minlength=256)
    return counts
