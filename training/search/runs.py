"""The training runs of a search: the same images and classes with other values of the recipe, each in a folder of its own."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.run.batches import fit_batch, mix
from training.run.checkpoint import FILE_NAME, Checkpoint
from training.run.distributed import make_fabric
from training.run.feed import TrainingSet
from training.run.initial import Initial
from training.run.loop import Row, Trainer
from training.run.recipes import Recipe

_COLUMN = "validation_"


def accuracy_of(row: Row) -> float:
    """Returns the mean of an epoch's accuracies on validation episodes, over datasets and shots."""
    return float(np.mean([value for name, value in row.items() if name.startswith(_COLUMN)]))


@dataclass(frozen=True)
class Runs:
    """Everything that the runs of a search have in common.

    Attributes:
        before: a run before its first step; the others differ from it in recipe and seed.
        initial: the network that all start from; None for random weights.
    """

    before: Checkpoint
    datasets: Sequence[TrainingSet]
    initial: Initial | None
    device: torch.device

    def refuse_contradictions(self, recipe: Recipe) -> None:
        """Checks that a run could begin.

        Raises:
            RecipeError: the recipe contradicts itself or the network.
            DataError: its batches cannot be made of the datasets.
        """
        before = self._before(recipe, seed=0)
        mix(self._images, before.recipe)
        before.new_learner()

    def train(self, recipe: Recipe, seed: int, folder: Path, goes_on: Callable[[Row], bool] = lambda _: True) -> Checkpoint:
        """Trains to the end, or to the first epoch that `goes_on` is False for. Goes on with what the folder holds.

        Raises:
            RecipeError, DataError: as `refuse_contradictions`.
            OutOfMemoryError: of PyTorch; the device is too small.
            Interrupted: a signal came.
            CheckpointError: the run's files cannot be read or written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / FILE_NAME).exists():
            checkpoint = Checkpoint.load(folder)
        else:
            checkpoint = self._before(recipe, seed)
            if self.initial:
                self.initial.put_into(checkpoint, [data.base for data in self.datasets])
        if not all(map(goes_on, checkpoint.history)):
            return checkpoint
        return self._trainer(checkpoint, folder).run(goes_on)

    def accuracies(self, folder: Path, episodes: int, seed: int) -> Mapping[str, NDArray[np.float64]]:
        """Returns the accuracy of a finished run on each of other validation episodes, (episodes,) for each column."""
        return self._trainer(Checkpoint.load(folder), folder).accuracies(episodes, seed)

    def _before(self, recipe: Recipe, seed: int) -> Checkpoint:
        fitted = fit_batch(recipe, self._images)
        return Checkpoint(replace(self.before.info, recipe=fitted.model_dump(), seed=seed))

    @property
    def _images(self) -> list[int]:
        return [len(data.base) for data in self.datasets]

    def _trainer(self, checkpoint: Checkpoint, folder: Path) -> Trainer:
        gc.collect()  # The trainer before holds the device's memory, and its parts hold each other.
        fabric = make_fabric(self.device, 1, checkpoint.recipe)
        fabric.launch()
        return Trainer(checkpoint, self.datasets, folder, fabric)
