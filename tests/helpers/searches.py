"""Searches over a recipe in tests: images that a moment of training helps with, and runs that take no time at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.helpers.training_runs import CPU, recipe, started
from training.data.dataset import ImageSet
from training.run.augment import Augmentation
from training.run.checkpoint import Checkpoint
from training.run.feed import TrainingSet
from training.run.loop import Row
from training.run.recipes import Recipe
from training.search.runs import Runs

_SIZE = 16
_AS_THEY_ARE = Augmentation(padding=0, flip=False, jitter=0.0)


def hues(classes: int, per_class: int, turn: float) -> ImageSet:
    """Noise with a faint hue for each class, and of any brightness.

    Brightness tells nothing, and is most of what an untrained network sees. `turn`, a share of the step from class to class,
    makes other classes.
    """
    rng = np.random.default_rng(int(100 * turn))
    angles = 2.0 * np.pi * (np.arange(classes) + turn) / classes
    tints = 10.0 * np.cos(angles[:, None] + np.array([0.0, 2.1, 4.2]))
    labels = np.repeat(np.arange(classes), per_class)
    shape = (len(labels), _SIZE, _SIZE, 3)
    pixels = rng.uniform(60.0, 200.0, (len(labels), 1, 1, 1)) + tints[labels][:, None, None] + rng.normal(0.0, 25.0, shape)
    names = tuple(f"hue{label}-{turn}" for label in range(classes))
    sources = tuple(f"{names[label]}/{i}.png" for i, label in enumerate(labels))
    return ImageSet(np.clip(pixels, 0, 255).astype(np.uint8), labels, names, sources)


def runs_on_hues(**changes: Any) -> Runs:
    """Real runs of a moment: eight base classes, five validation classes."""
    base = hues(8, 16, 0.0)
    small: dict[str, Any] = {"widths": (8,), "batch_size": 32, "precision": "float32", "augmentation": _AS_THEY_ARE}
    chosen = recipe(**small | {"epochs": 2, "warmup": 0.1} | changes)
    return Runs(started(chosen, base), [TrainingSet(base, hues(5, 12, 0.5))], None, CPU)


@dataclass(frozen=True)
class ImaginaryRuns(Runs):
    """Runs whose accuracy after each epoch is a function of the recipe. They write no checkpoint."""

    accuracy: Callable[[Recipe, int], float] = lambda _recipe, _epoch: 0.5

    def refuse_contradictions(self, recipe: Recipe) -> None:
        """Takes any recipe."""

    def train(self, recipe: Recipe, seed: int, folder: Path, goes_on: Callable[[Row], bool] = lambda _: True) -> Checkpoint:
        """Ends where `goes_on` says so. An epoch takes ten seconds."""
        folder.mkdir(parents=True, exist_ok=True)
        run = Checkpoint(replace(self.before.info, recipe=recipe.model_dump(), seed=seed))
        for epoch in range(1, recipe.epochs + 1):
            value = self.accuracy(recipe, epoch)
            run.history.append({"epoch": float(epoch), "loss": 1.0, "validation_1-shot": value, "validation_5-shot": value})
            run.seconds += 10.0
            if not goes_on(run.history[-1]):
                break
        return run

    def accuracies(self, folder: Path, episodes: int, seed: int) -> Mapping[str, NDArray[np.float64]]:
        """Returns noise around a half, other noise for each folder."""
        rng = np.random.default_rng((seed, int(folder.name)))
        return {f"validation_{shots}-shot": rng.normal(0.5, 0.1, episodes) for shots in (1, 5)}


def imaginary(accuracy: Callable[[Recipe, int], float], **changes: Any) -> ImaginaryRuns:
    """Runs of nothing but that function."""
    base = hues(8, 4, 0.0)
    return ImaginaryRuns(started(recipe(**changes), base), [TrainingSet(base, None)], None, CPU, accuracy)
