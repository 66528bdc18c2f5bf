"""Small training runs: a recipe of seconds, images of noise, a trainer on the CPU."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from tests.helpers.images import noise
from training.data.class_split import Split
from training.data.dataset import ImageSet
from training.run.checkpoint import Checkpoint, DatasetInfo, RunInfo
from training.run.distributed import make_fabric
from training.run.feed import TrainingSet
from training.run.learner import Learner
from training.run.loop import Trainer
from training.run.recipes import Recipe

CPU = torch.device("cpu")
CLASSES, PER_CLASS, SIZE = 8, 10, 16
BASE = ImageSet(
    images=np.stack([noise(SIZE, SIZE, seed=i) for i in range(CLASSES * PER_CLASS)]),
    labels=np.repeat(np.arange(CLASSES), PER_CLASS),
    classes=tuple("abcdefgh"),
    sources=tuple(f"{'abcdefgh'[i // PER_CLASS]}/{i}.png" for i in range(CLASSES * PER_CLASS)),
)


def recipe(**changes: Any) -> Recipe:
    """Conv-4 on 16 x 16 images, 5 steps of 16 images an epoch."""
    small: dict[str, Any] = {"network": "conv4", "widths": (4,), "epochs": 4, "batch_size": 16, "input_size": SIZE}
    return Recipe(name="tiny", summary="for tests", **small | changes)


OTHER = ImageSet(
    images=np.stack([noise(SIZE, SIZE, seed=1000 + i) for i in range(40)]),
    labels=np.repeat(np.arange(5), 8),
    classes=tuple("vwxyz"),
    sources=tuple(f"{'vwxyz'[i // 8]}/{i}.png" for i in range(40)),
)


def started(chosen: Recipe, *datasets: ImageSet) -> Checkpoint:
    """A checkpoint before its first step."""
    infos = tuple(
        DatasetInfo(("toys.zip",), Split(f"toys{i}", data.classes, (), ()), "toys", len(data)) for i, data in enumerate(datasets)
    )
    return Checkpoint(RunInfo(chosen.model_dump(), 5, infos, (0.5,) * 3, (0.25,) * 3, None))


def fabric() -> Fabric:
    return make_fabric(CPU, 1, recipe(precision="float32"))


def trainer(checkpoint: Checkpoint, folder: Path, *more: ImageSet, teacher: Learner | None = None) -> Trainer:
    return Trainer(checkpoint, [TrainingSet(data, None) for data in (BASE, *more)], folder, fabric(), teacher)


def assert_resumes_bit_for_bit(chosen: Recipe, steps: int, folder: Path) -> None:
    """A run on two datasets that stops after some steps and is resumed ends with the weights of one that never stopped."""
    straight, halves = folder / "straight", folder / "halves"
    straight.mkdir()
    halves.mkdir()
    expected = trainer(started(chosen, BASE, OTHER), straight, OTHER).run()
    assert all(math.isfinite(row["loss"]) for row in expected.history)
    first = trainer(started(chosen, BASE, OTHER), halves, OTHER)
    for step in range(steps):
        first.step(step)
    first._save(steps, 0.0, [])
    resumed = trainer(Checkpoint.load(halves), halves, OTHER).run()
    for name, value in expected.learner.items():
        assert torch.equal(value, resumed.learner[name]), name
