"""A training run on disk: one file with everything that resuming and exporting need."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from models.backbones import Backbone, build_backbone
from models.manifest import Architecture
from training.data.class_split import Split
from training.run.average import averaged_weights
from training.run.learner import Learner
from training.run.recipes import Recipe

FILE_NAME = "checkpoint.pt"
_FORMAT = 3


class CheckpointError(Exception):
    """A checkpoint that cannot be read or written; the message names the file."""


@dataclass(frozen=True)
class DatasetInfo:
    """One dataset of a run.

    Attributes:
        paths: where its images were.
        split: its base, validation and novel classes.
        split_source: the split file, or how the classes were split.
        images: how many base images were found.
        per_class: the number of images of a base class that are learned from, the first by name; None for all.
    """

    paths: tuple[str, ...]
    split: Split
    split_source: str
    images: int
    per_class: int | None = None


@dataclass(frozen=True)
class RunInfo:
    """The settings that a run was started with, and the data it found.

    Attributes:
        datasets: in the order of their class banks; the first one is the subject of export and evaluation.
        mean, std: of each colour channel over the base images of all datasets.
        initial: the network that training started from, or None for random weights.
        teacher: the folder of the run it was distilled from, or None.
        inherited: the classes that `initial` was trained on, as far as they are known.
        before: what `initial` reached on the validation classes, by the names of the columns of `Checkpoint.history`; empty
            where that was not measured.
    """

    recipe: dict[str, Any]
    seed: int
    datasets: tuple[DatasetInfo, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    git_revision: str | None
    initial: str | None = None
    teacher: str | None = None
    inherited: tuple[str, ...] = ()
    before: dict[str, float] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class that the backbone was trained on, once, under a name that is unique among datasets."""
        own = (name for dataset in self.datasets for name in dataset.split.known_as("train"))
        return tuple(dict.fromkeys((*own, *self.inherited)))

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "RunInfo":
        """Reverses `dataclasses.asdict`."""
        datasets = tuple(DatasetInfo(**{**part, "split": Split(**part["split"])}) for part in state["datasets"])
        return cls(**{**state, "datasets": datasets})


@dataclass
class Checkpoint:
    """The state after `step` steps.

    `history` has a row per finished epoch, `losses` an entry per step of the current one. `average` is empty where the recipe
    averages no weights.
    """

    info: RunInfo
    step: int = 0
    seconds: float = 0.0
    hardware: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    learner: dict[str, Any] = field(default_factory=dict)
    balance: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    average: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """True if every epoch of the recipe is done."""
        return len(self.history) == self.recipe.epochs

    @property
    def recipe(self) -> Recipe:
        return Recipe.model_validate(self.info.recipe)

    @property
    def architecture(self) -> Architecture:
        recipe = self.recipe
        return Architecture(name=recipe.network, widths=recipe.widths, mean=self.info.mean, std=self.info.std)

    def trained_backbone(self) -> Backbone:
        """Returns the network with the weights that are exported, in evaluation mode on the CPU."""
        return self.trained_learner().backbone.eval()

    def trained_learner(self) -> Learner:
        """Returns the network with its heads on the CPU. It has the averaged weights, or the last ones where there are none."""
        learner = self.new_learner()
        learner.load_state_dict(averaged_weights(self.average) or self.learner)
        return learner

    def new_learner(self) -> Learner:
        """Returns the network of the recipe with heads for the run's datasets, randomly initialised.

        Raises:
            CheckpointError: there is no such network.
        """
        recipe = self.recipe
        try:
            backbone = build_backbone(self.architecture, recipe.input_size, recipe.dropblock)
        except ValueError as error:
            raise CheckpointError(f"the recipe's network cannot be built: {error}") from error
        return Learner(backbone, [len(dataset.split.train) for dataset in self.info.datasets], recipe)

    def save(self, folder: Path) -> None:
        """Writes the checkpoint completely or not at all: a full disk leaves the previous one usable.

        Raises:
            CheckpointError: the file cannot be written.
        """
        target = folder / FILE_NAME
        temporary = target.with_suffix(".tmp")
        state = {
            "format": _FORMAT,
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "info": asdict(self.info),
        }
        try:
            with temporary.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except (OSError, RuntimeError) as error:  # PyTorch's zip writer reports a full disk as RuntimeError.
            temporary.unlink(missing_ok=True)
            raise CheckpointError(f"cannot write {target}: {error}; the checkpoint before it is untouched") from error

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        """Reads the checkpoint of a run's folder, without unpickling code.

        Raises:
            CheckpointError: there is none, or it is not one of this release.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise CheckpointError(f"no checkpoint at {path}")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state.pop("format") != _FORMAT:
                raise CheckpointError(f"{path} was written by another release")
            return cls(**{**state, "info": RunInfo.from_state(state["info"])})
        except CheckpointError:
            raise
        except Exception as error:  # torch.load raises many types for a damaged file.
            raise CheckpointError(f"{path} is damaged or not a checkpoint: {error}") from error
