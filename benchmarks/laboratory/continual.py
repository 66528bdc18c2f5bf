"""Ten tasks one after another: what each method of continual learning still knows at the end.

    python -m benchmarks.laboratory continual --data part0.zip part1.zip part2.zip --minutes 10 --out continual

The classes, in an order drawn from the seed, are divided into tasks. Every method of `training/continual/` has Conv-4, the same
images and augmentation, Adam with the same schedule, and the same seconds of training for each task. When a task is learned,
every method fits its head on all images of the task, as the server does; that comes on top. Methods take turns, a task each.
The task of an image is known when it is classified. The first sixth of each class's images by name is held out to measure with
(of CIFAR-100, that is its test part). Classes, weights and batches differ from seed to seed, and are the same for all methods.

Some methods have a hyper-parameter that the problem decides. The first three tasks of another order of classes choose it, by the
mean accuracy on them at the end, with the same seconds for each. The held-out images take no part in that; a sixth of the others
is measured with instead. Other hyper-parameters are those of the papers.

After each task `--out` has results.jsonl, table.md and forgetting.png. Started again with the same `--out`, it goes on after the
last turn, also with more seeds.

Forgetting is the mean over earlier tasks of the best accuracy that a task ever had, less its last (Chaudhry et al., ECCV 2018,
arXiv:1801.10112, section 3).
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.laboratory.cells import Cells
from benchmarks.laboratory.clock import clock
from benchmarks.laboratory.continual_report import Record, Result, write
from benchmarks.laboratory.continual_tasks import Task, divide
from benchmarks.laboratory.experiment import Experiment
from models.backbones import Backbone, build_backbone
from models.manifest import Architecture, InputSpec
from training.continual.learner import Build, ContinualLearner, to_images
from training.continual.registry import METHODS
from training.data.loading import load_images
from training.data.sources import find_classes
from training.devices import describe, pick_device
from training.run.feed import channel_statistics
from training.run.recipes import RECIPES

_RECIPE = RECIPES["quick"]
_ADAM_RATE = 1e-3
_BATCH = 64
_SEARCHED = 3  # tasks that choose a hyper-parameter


@dataclass(frozen=True)
class MakeTrunk:
    """Makes untrained Conv-4 networks. A class, so that a learner that keeps it can be written to a file."""

    architecture: Architecture
    input_size: int
    device: torch.device

    def __call__(self) -> Backbone:
        return build_backbone(self.architecture, self.input_size).to(self.device)


def run(arguments: argparse.Namespace) -> None:
    """Chooses, trains, measures and reports."""
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
        "first seed": arguments.seed,
    }
    cells = Cells(arguments.out, protocol, math.inf)
    mean, std = channel_statistics([images])
    make_trunk = MakeTrunk(Architecture(name="conv4", widths=(arguments.width,), mean=mean, std=std), 32, device)
    results = {name: Result() for name in arguments.methods}
    searched = divide(images, arguments.tasks, arguments.seed, device, searching=True)[:_SEARCHED]
    for name in tqdm(arguments.methods, unit="search"):
        for candidate, build in METHODS[name].candidates.items():
            work = partial(try_out, build, make_trunk, searched, seconds)
            (results[name].searched[candidate],) = cells.get((name, candidate), work)
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        tasks = divide(images, arguments.tasks, seed, device)
        for number in tqdm(range(len(tasks)), unit="task"):
            for name, result in results.items():
                build = METHODS[name].candidates.get(result.chosen, METHODS[name].build)
                file = arguments.out / "kept" / f"{name}-{seed}.pt"
                torch.manual_seed(seed * len(tasks) + number)
                result.records[seed] = _turn(file, build, number, tasks, make_trunk, seconds)
            write(arguments.out, protocol, results)
    print((arguments.out / "table.md").read_text())


def try_out(build: Build, make_trunk: MakeTrunk, tasks: Sequence[Task], seconds: float) -> list[float]:
    """Returns the mean accuracy on tasks after all of them were learned one after another, as a list of one."""
    torch.manual_seed(0)
    learner = build(make_trunk, _RECIPE.augmentation)
    for task in tasks:
        learn(learner, task, seconds)
    return [float(np.mean([measure(learner, task, number) for number, task in enumerate(tasks)]))]


def _turn(file: Path, build: Build, number: int, tasks: Sequence[Task], make_trunk: MakeTrunk, seconds: float) -> Record:
    """Lets a method learn a task, unless it did before the experiment was stopped. Returns its record so far."""
    record: Record
    if file.exists():
        # The whole learner, since each method remembers other things; the file is this experiment's own.
        record, learner = torch.load(file, map_location=make_trunk.device, weights_only=False)
    else:
        record, learner = Record(), build(make_trunk, _RECIPE.augmentation)
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
        "--seeds", type=int, default=3, help="how many orders of classes and initial weights (default %(default)s)"
    )
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
