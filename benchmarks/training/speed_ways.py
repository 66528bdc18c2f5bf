"""The two ways that `benchmarks.training_speed` compares."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision import transforms  # type: ignore[import-untyped]

from models.backbones import build_backbone
from models.manifest import Architecture
from training.data.class_split import Split
from training.data.dataset import ImageSet
from training.run.checkpoint import Checkpoint, DatasetInfo, RunInfo
from training.run.distributed import make_fabric
from training.run.feed import TrainingSet
from training.run.loop import Trainer
from training.run.recipes import Recipe

_MEAN, _STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
_PREFETCH = 2  # batches that each worker makes ahead; PyTorch's default


@dataclass(frozen=True)
class Seconds:
    """Seconds of a step: by the clock, and of all processors, child processes included."""

    wall: float
    processor: float

    @classmethod
    def now(cls, device: torch.device) -> "Seconds":
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        process = psutil.Process()
        times = [each.cpu_times() for each in (process, *process.children())]
        return cls(time.perf_counter(), sum(each.user + each.system for each in times))

    @classmethod
    def since(cls, started: "Seconds", device: torch.device, steps: int) -> "Seconds":
        now = cls.now(device)
        return cls((now.wall - started.wall) / steps, (now.processor - started.processor) / steps)


class Ours:
    """Steps of the project's trainer."""

    def __init__(self, recipe: Recipe, images: ImageSet, device: torch.device, folder: Path) -> None:
        data = DatasetInfo((), Split("noise", images.classes, (), ()), "", len(images))
        checkpoint = Checkpoint(RunInfo(recipe.model_dump(), 1, (data,), _MEAN, _STD, None))
        fabric = make_fabric(device, 1, recipe)
        fabric.launch()
        self.precision = str(fabric.strategy.precision.precision)
        self._trainer = Trainer(checkpoint, [TrainingSet(images, None)], folder, fabric)
        self._device = device
        self._step = 0

    def train(self, steps: int) -> Seconds:
        """Trains for that many steps."""
        started = Seconds.now(self._device)
        for _ in range(steps):
            self._trainer.step(self._step)
            self._step += 1
        return Seconds.since(started, self._device, steps)

    def augment(self, steps: int) -> Seconds:
        """Draws the images of that many steps."""
        started = Seconds.now(self._device)
        for step in range(steps):
            self._trainer.feed.draw(step)
        return Seconds.since(started, self._device, steps)


class Usual:
    """Steps of the script one would write."""

    def __init__(self, recipe: Recipe, images: ImageSet, device: torch.device) -> None:
        identity = Architecture(name=recipe.network, widths=recipe.widths, mean=(0.0,) * 3, std=(1.0,) * 3)
        backbone = build_backbone(identity, recipe.input_size, recipe.dropblock)
        self._network = nn.Sequential(backbone, nn.Linear(backbone.embedding_dim, len(images.classes))).to(device).train()
        self._optimizer = torch.optim.SGD(
            self._network.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
        )
        self._device = device
        loader = DataLoader(
            _Pictures(images, recipe),
            batch_size=recipe.batch_size,
            sampler=_Draws(len(images)),
            num_workers=cores(),
            prefetch_factor=_PREFETCH,
            pin_memory=device.type == "cuda",
        )
        self._batches = iter(loader)

    def train(self, steps: int) -> Seconds:
        """Trains for that many steps, after as many untimed ones as the workers had made batches for meanwhile."""
        for _ in range(_PREFETCH * cores()):
            self._train_on(*next(self._batches))
        started = Seconds.now(self._device)
        for _ in range(steps):
            self._train_on(*next(self._batches))
        taken = Seconds.since(started, self._device, steps)
        _wait_for_idle_workers()
        return taken

    def _train_on(self, images: Tensor, labels: Tensor) -> None:
        images, labels = images.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)
        loss = functional.cross_entropy(self._network(images), labels)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()


class _Pictures(Dataset[tuple[Tensor, int]]):
    def __init__(self, images: ImageSet, recipe: Recipe) -> None:
        padding, jitter = recipe.augmentation.padding, recipe.augmentation.jitter
        self._images = images
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(recipe.input_size, padding=padding),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(jitter, jitter, jitter),
                transforms.ToTensor(),
                transforms.Normalize(_MEAN, _STD),
            ]
        )

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Tensor = self._transform(Image.fromarray(self._images.images[index]))
        return image, int(self._images.labels[index])


class _Draws(Sampler[int]):
    """Indices without end."""

    def __init__(self, images: int) -> None:
        self._images = images

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self._images).tolist()


def _wait_for_idle_workers() -> None:
    """Waits until the workers have made all the batches they may make ahead."""
    before = -1.0
    while (now := sum(worker.cpu_times().user for worker in psutil.Process().children())) > before:
        before = now
        time.sleep(0.3)


def cores() -> int:
    return len(os.sched_getaffinity(0))
