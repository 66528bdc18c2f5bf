"""Which base images each training step sees. A step's draw depends on the seed and the step alone, so resuming needs no
generator state."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data import DataError
from training.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Batch:
    """Indices (N,) of base images; and for training on N-way tasks, each task's classes (T, ways)."""

    images: NDArray[np.int64]
    tasks: NDArray[np.int64] | None


class BatchSampler:
    """Shuffled passes over the images, or freshly drawn tasks.

    Args:
        labels: (N,) the class of each image.

    Raises:
        DataError: there are too few images for one batch, or too few classes for the recipe's ways.
    """

    def __init__(self, labels: NDArray[np.int64], recipe: Recipe, seed: int) -> None:
        self._recipe = recipe
        self._seed = seed
        self._count = len(labels)
        self._by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self.steps_per_epoch = self._count // recipe.batch_size
        if self.steps_per_epoch == 0:
            raise DataError(f"{self._count} images are fewer than one batch of {recipe.batch_size}")
        if recipe.ways and recipe.ways > len(self._by_class):
            raise DataError(f"{recipe.ways}-way tasks need as many classes, got {len(self._by_class)}")
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def batch(self, step: int) -> Batch:
        """The batch of that step."""
        return self._draw_tasks(step) if self._recipe.ways else self._next_of_pass(step)

    def _next_of_pass(self, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng((self._seed, 0, epoch)).permutation(self._count)
            self._epoch = epoch
        size = self._recipe.batch_size
        return Batch(self._order[position * size : (position + 1) * size], None)

    def _draw_tasks(self, step: int) -> Batch:
        ways, shots = self._recipe.ways or 0, self._recipe.shots
        rng = np.random.default_rng((self._seed, 1, step))
        tasks = np.stack(
            [rng.choice(len(self._by_class), ways, replace=False) for _ in range(self._recipe.batch_size // (ways * shots))]
        )
        images = [rng.choice(self._by_class[k], shots, replace=len(self._by_class[k]) < shots) for k in tasks.ravel()]
        return Batch(np.concatenate(images), tasks)
