"""Ten tasks one after another: what each method of continual learning still knows at the end.

    python -m benchmarks.laboratory continual --data part0.zip part1.zip part2.zip --minutes 10 --out continual

The classes, in an order drawn from the seed, are divided into tasks. Every method of `training/continual/` has Conv-4, the same
images and augmentation, Adam with the same schedule, and the same seconds of training for each task. Methods take turns, a task
each. The task of an image is known when it is classified. The first sixth of each class's images by name is held out to measure
with (of CIFAR-100, that is its test part). Hyper-parameters are those of the papers; nothing is chosen here. After each task
`--out` has results.jsonl, table.md and forgetting.png. Started again with the same `--out`, it goes on after the last turn.

Forgetting is the mean over earlier tasks of the best accuracy that a task ever had, less its last (Chaudhry et al., ECCV 2018,
arXiv:1801.10112, section 3).
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.laboratory.clock import clock
from benchmarks.laboratory.continual_report import Record, write
from benchmarks.laboratory.experiment import Experiment
from benchmarks.laboratory.record import Folder
from models.backbones import Backbone, build_backbone
from models.manifest import Architecture, InputSpec
from training.continual.learner import ContinualLearner, to_images
from training.continual.registry import METHODS
from training.data.dataset import DataError, ImageSet
from training.data.loading import load_images
from training.data.sources import find_classes
from training.devices import describe, pick_device
from training.evaluation.episodes import Indices
from training.run.feed import channel_statistics
from training.run.recipes import RECIPES

_RECIPE = RECIPES["quick"]
_ADAM_RATE = 1e-3
_HELD_OUT = 6  # one image in so many
_BATCH = 256


class Task(NamedTuple):
    """The images of one task: uint8 pixels (N, H, W, 3) and labels in [0, classes), to learn from and to measure with."""

    pixels: Tensor
    labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor
    classes: int


@dataclass(frozen=True)
class MakeTrunk:
    """Makes untrained Conv-4 networks. A class, so that a learner that keeps it can be written to a file."""

    architecture: Architecture
    input_size: int
    device: torch.device

    def __call__(self) -> Backbone:
        return build_backbone(self.architecture, self.input_size).to(self.device)


def divide(images: ImageSet, tasks: int, seed: int, device: torch.device) -> list[Task]:
    """Returns the tasks, all of equally many classes.

    Raises:
        DataError: the classes cannot be divided so.
    """
    each, rest = divmod(len(images.classes), tasks)
    if rest or each < 2:
        raise DataError(f"{len(images.classes)} classes cannot be divided into {tasks} tasks of two or more")
    order = np.random.default_rng(seed).permutation(len(images.classes)).reshape(tasks, each)
    by_class = images.indices_by_class()
    return [_task([by_class[label] for label in labels], images, device) for labels in order]


def _task(by_class: Sequence[Indices], images: ImageSet, device: torch.device) -> Task:
    cuts = [max(1, len(own) // _HELD_OUT) for own in by_class]
    learned = [own[cut:] for own, cut in zip(by_class, cuts, strict=True)]
    held_out = [own[:cut] for own, cut in zip(by_class, cuts, strict=True)]
    return Task(*_tensors(learned, images, device), *_tensors(held_out, images, device), len(by_class))


def _tensors(by_class: Sequence[Indices], images: ImageSet, device: torch.device) -> tuple[Tensor, Tensor]:
    labels = np.repeat(np.arange(len(by_class)), [len(own) for own in by_class])
    return torch.from_numpy(images.images[np.concatenate(by_class)]).to(device), torch.from_numpy(labels).to(device)


def run(arguments: argparse.Namespace) -> None:
    """Trains, measures and reports."""
    device = pick_device(arguments.device)
    images = load_images(arguments.data, find_classes(arguments.data), InputSpec(height=32, width=32))
    seconds = 60.0 * arguments.minutes / arguments.tasks
    protocol = {
        "hardware": describe(device, 1),
        "torch": str(torch.__version__),
        "classes": len(images.classes),
        "images": len(images),
        "tasks": arguments.tasks,
        "seconds of training for each task": seconds,
        "seed": arguments.seed,
    }
    Folder(arguments.out, protocol)
    tasks = divide(images, arguments.tasks, arguments.seed, device)
    mean, std = channel_statistics([images])
    make_trunk = MakeTrunk(Architecture(name="conv4", widths=(arguments.width,), mean=mean, std=std), 32, device)
    records = {name: Record() for name in arguments.methods}
    for number in tqdm(range(len(tasks)), unit="task"):
        for name in arguments.methods:
            records[name] = _turn(arguments, name, number, tasks, make_trunk, seconds)
        write(arguments.out, protocol, records)
    print((arguments.out / "table.md").read_text())


def _turn(
    arguments: argparse.Namespace, name: str, number: int, tasks: Sequence[Task], make_trunk: MakeTrunk, seconds: float
) -> Record:
    """Lets a method learn a task, unless it did before the experiment was stopped. Returns its record so far."""
    file: Path = arguments.out / "kept" / f"{name}.pt"
    record: Record
    torch.manual_seed(arguments.seed + number)
    if file.exists():
        # The whole learner, since each method remembers other things; the file is this experiment's own.
        record, learner = torch.load(file, map_location=make_trunk.device, weights_only=False)
    else:
        record, learner = Record(), METHODS[name].build(make_trunk, _RECIPE.augmentation)
    if len(record.accuracy) > number:
        return record
    started = clock(make_trunk.device)
    steps = learn(learner, tasks[number], seconds)
    taken = clock(make_trunk.device) - started
    accuracies = [measure(learner, task, position) for position, task in enumerate(tasks[: number + 1])]
    record.add(accuracies, steps, taken, learner.remembered())
    temporary = file.with_suffix(".tmp")
    torch.save((record, learner), temporary)
    temporary.replace(file)
    return record


def learn(learner: ContinualLearner, task: Task, seconds: float) -> int:
    """Lets a method learn one task for so long; returns the steps. Consolidation comes on top."""
    learner.begin(task.classes)
    steps = 0
    if trained := list(learner.trained()):
        optimizer = torch.optim.Adam(trained, lr=_ADAM_RATE)
        device = task.labels.device
        started = clock(device)
        while (progress := (clock(device) - started) / seconds) < 1.0 or not steps:
            learner.train()
            optimizer.param_groups[0]["lr"] = _ADAM_RATE * _RECIPE.rate(min(progress, 1.0)) / _RECIPE.learning_rate
            chosen = torch.randint(len(task.labels), (_RECIPE.batch_size,), device=device)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(learner.loss(task.pixels[chosen], task.labels[chosen]))
            optimizer.step()
            steps += 1
    learner.consolidate(task.pixels, task.labels)
    return steps


@torch.no_grad()
def measure(learner: ContinualLearner, task: Task, number: int) -> float:
    """Returns the share of the task's held-out images that are recognised among its classes."""
    learner.eval()
    parts = [learner.logits(to_images(pixels), number).argmax(dim=1) for pixels in torch.split(task.held_out, _BATCH)]
    return float((torch.cat(parts) == task.held_out_labels).double().mean())


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=10, help="(default %(default)s)")
    parser.add_argument("--width", type=int, default=64, help="channels of Conv-4 (default %(default)s)")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD", help=f"of {', '.join(METHODS)}"
    )


EXPERIMENT = Experiment(
    name="continual",
    summary="tasks one after another: accuracy, forgetting and memory of the methods of continual learning",
    add_arguments=_add_arguments,
    run=run,
    minutes=20,
)
