"""A training run on disk: one file that holds all that resuming and exporting need."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from models.backbones import Backbone, build_backbone
from models.manifest import Architecture
from training.recipes import Recipe

FILE_NAME = "checkpoint.pt"
_FORMAT = 1


class CheckpointError(Exception):
    """A checkpoint that cannot be read or written; the message names the file."""


@dataclass(frozen=True)
class RunInfo:
    """What a run was started with, and the data it found."""

    recipe: dict[str, Any]
    seed: int
    data: tuple[str, ...]
    split: str
    dataset: str
    classes: tuple[str, ...]
    images: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    git_revision: str | None


@dataclass
class Checkpoint:
    """The state after `step` steps; `history` has a row per finished epoch, `losses` an entry per step of the one under way."""

    info: RunInfo
    step: int = 0
    seconds: float = 0.0
    hardware: str = ""
    history: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    backbone: dict[str, Any] = field(default_factory=dict)
    objectives: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether every epoch of the recipe is done."""
        return len(self.history) == self.recipe.epochs

    @property
    def recipe(self) -> Recipe:
        return Recipe.model_validate(self.info.recipe)

    @property
    def architecture(self) -> Architecture:
        recipe = self.recipe
        return Architecture(name=recipe.network, widths=recipe.widths, mean=self.info.mean, std=self.info.std)

    def trained_backbone(self) -> Backbone:
        """The network with the weights of this checkpoint, in evaluation mode on the CPU."""
        backbone = build_backbone(self.architecture, self.recipe.input_size)
        backbone.load_state_dict(self.backbone)
        return backbone.eval()

    def save(self, folder: Path) -> None:
        """Writes the checkpoint whole or not at all: a full disk leaves the previous one usable.

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
            return cls(**{**state, "info": RunInfo(**state["info"])})
        except CheckpointError:
            raise
        except Exception as error:  # torch.load raises many types for a damaged file.
            raise CheckpointError(f"{path} is damaged or not a checkpoint: {error}") from error
