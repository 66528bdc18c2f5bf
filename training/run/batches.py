"""The base images of each training step. A step's draw depends on the seed and the step alone, so resuming needs no generator
state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import DataError
from training.run.recipes import Recipe, changed


@dataclass(frozen=True, slots=True)
class Batch:
    """Indices (N,) of base images; and for training on N-way tasks, each task's classes (T, ways)."""

    images: NDArray[np.int64]
    tasks: NDArray[np.int64] | None

    def shard(self, rank: int, world: int) -> slice:
        """Returns the range of the images that process `rank` of `world` takes."""
        size = len(self.images) // world
        return slice(rank * size, (rank + 1) * size)

    def shard_tasks(self, rank: int, world: int) -> NDArray[np.int64] | None:
        """Returns the tasks of those images."""
        if self.tasks is None:
            return None
        size = len(self.tasks) // world
        return self.tasks[rank * size : (rank + 1) * size]


def fit_batch(recipe: Recipe, images: Sequence[int]) -> Recipe:
    """Returns the recipe, with one batch of all images where there are fewer than a batch.

    Args:
        images: base images of each dataset.
    """
    if recipe.ways or len(images) > 1 or sum(images) >= recipe.batch_size:
        return recipe
    return changed(recipe, {"batch_size": sum(images)})


def mix(images: Sequence[int], recipe: Recipe, world: int = 1) -> list[int]:
    """Returns how many images of a batch come from each dataset: in proportion to images^(1 / mixing temperature).

    A temperature of 1 is proportional to size, infinity is uniform (Raffel et al., JMLR 2020, section 3.5.2).

    Args:
        images: base images of each dataset.
        world: processes that share the batch evenly.

    Raises:
        DataError: the batch cannot be divided so.
    """
    unit = world * (recipe.ways * recipe.shots if recipe.ways else 1)
    units, rest = divmod(recipe.batch_size, unit)
    if rest:
        fitting = max(units, len(images)) * unit
        raise DataError(f"a batch of {recipe.batch_size} cannot be divided into units of {unit}; --set batch_size={fitting}")
    if units < len(images):
        raise DataError(f"a batch of {recipe.batch_size} images is too small for {len(images)} datasets in units of {unit}")
    logs = np.log(images) / recipe.mixing_temperature
    wanted = np.exp(logs - logs.max())
    # Each dataset has one unit. Each further unit goes to the dataset that is furthest below its share.
    counts = np.ones(len(images), dtype=np.int64)
    while counts.sum() < units:
        counts[np.argmax(units * wanted / wanted.sum() - counts)] += 1
    return [int(count) * unit for count in counts]


class BatchSampler:
    """Shuffled passes over one dataset's images, or freshly drawn tasks.

    Args:
        labels: (N,) the class of each image.
        size: images per step.
        dataset: its position among the run's datasets, part of the seed.

    Raises:
        DataError: there are too few images for one batch, or too few classes for the recipe's ways.
    """

    def __init__(self, labels: NDArray[np.int64], recipe: Recipe, size: int, seed: int, dataset: int = 0) -> None:
        self._recipe = recipe
        self._size = size
        self._seed = (seed, dataset) if dataset else (seed,)
        self._count = len(labels)
        self._by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self._steps_per_pass = self._count // size
        if self._steps_per_pass == 0:
            raise DataError(f"{self._count} images are fewer than one batch of {size}; --set batch_size={self._count} or less")
        if recipe.ways and recipe.ways > len(self._by_class):
            raise DataError(f"{recipe.ways}-way tasks need as many classes, got {len(self._by_class)}")
        self._pass = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def batch(self, step: int) -> Batch:
        """Returns the batch of that step."""
        return self._draw_tasks(step) if self._recipe.ways else self._next_of_pass(step)

    def _next_of_pass(self, step: int) -> Batch:
        number, position = divmod(step, self._steps_per_pass)
        if number != self._pass:
            self._order = np.random.default_rng((*self._seed, 0, number)).permutation(self._count)
            self._pass = number
        return Batch(self._order[position * self._size : (position + 1) * self._size], None)

    def _draw_tasks(self, step: int) -> Batch:
        ways, shots = self._recipe.ways or 0, self._recipe.shots
        rng = np.random.default_rng((*self._seed, 1, step))
        tasks = np.stack([rng.choice(len(self._by_class), ways, replace=False) for _ in range(self._size // (ways * shots))])
        images = [rng.choice(self._by_class[k], shots, replace=len(self._by_class[k]) < shots) for k in tasks.ravel()]
        return Batch(np.concatenate(images), tasks)
