"""Twenty tasks at once: does it help when they share a network, and which task pays for it?

    python -m benchmarks.laboratory sharing --data part0.zip part1.zip part2.zip --minutes 15 --out sharing

The tasks are the twenty superclasses of CIFAR-100, of five classes each. Every architecture of `training/architectures/` has the
same small trunk (that of routing networks; see `training.architectures.sharing`), the mean of the tasks' losses, the same images
and augmentation, Adam with the same schedule, and the same budget of seconds. The shared trunk meets every other way of
balancing of `training/run/balance/` too. The first sixth of each class's images by name is held out to measure with (of
CIFAR-100, that is its test part). Nothing is chosen by them: hyper-parameters are those in the files of the methods.

Negative transfer is accuracy less that of the task's own network. Those networks are a contestant too: the twenty of them have
the budget together. Contestants take turns of at most 20 seconds; measuring costs none of the budget. On the way every tenth
held-out image is asked, and all of them at the end. `--out` receives results.jsonl, table.md, curves.png and transfer.png after
every round of measurements. Started again with the same `--out`, it goes on after the last turn of each.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.laboratory.experiment import Experiment
from benchmarks.laboratory.record import Folder
from benchmarks.laboratory.sharing_learners import Joint, Tasks, contestants
from benchmarks.laboratory.sharing_report import Measured, Progress, SharingReport
from benchmarks.laboratory.turns import turns
from models.manifest import InputSpec
from training.data.class_split import SHIPPED_SPLITS
from training.data.loading import load_images
from training.devices import describe, pick_device

_CURVE_EVERY = 10


def run(arguments: argparse.Namespace) -> None:
    """Trains, measures and reports."""
    device = pick_device(arguments.device)
    groups: dict[str, list[str]] = json.loads(arguments.tasks.read_text())["superclasses"]
    classes = sorted(name for group in groups.values() for name in group)
    images = load_images(arguments.data, classes, InputSpec(height=32, width=32))
    tasks, chosen = Tasks(images, groups, device), {name: contestants()[name] for name in arguments.methods}
    budget = 60.0 * arguments.minutes
    protocol = {
        "hardware": describe(device, 1),
        "torch": str(torch.__version__),
        "tasks": len(tasks.names),
        "classes of each": tasks.ways,
        "images": len(images),
        "images of each task in a step": arguments.images,
        "budget in seconds": budget,
        "seed": arguments.seed,
    }
    folder = Folder(arguments.out, protocol)
    learners: dict[str, Joint] = {}
    progress: dict[str, Progress] = {}
    for name, contestant in chosen.items():
        torch.manual_seed(arguments.seed)
        learners[name] = contestant.learner(tasks, arguments.images, arguments.seed)
        progress[name] = _resume(name, learners[name], folder)
    report = SharingReport(arguments.out, protocol, tasks.names, chosen, progress)
    for end, measured in tqdm(list(turns(budget)), unit="round"):
        behind = [name for name, learner in learners.items() if learner.seconds < end]
        for name in behind:
            learner = learners[name]
            learner.train_until(end, budget)
            if measured:
                every = 1 if end == budget else _CURVE_EVERY
                learner.prepare_evaluation()
                progress[name].points.append(Measured(learner.seconds, learner.steps, tasks.accuracy(learner.network, every)))
            folder.save(name, {"progress": asdict(progress[name]), "learner": learner.state()})
        if measured and behind:
            report.write()
    report.write()
    print(report.table())


def _resume(name: str, learner: Joint, folder: Folder) -> Progress:
    """Brings a contestant to where it was stopped, and returns its progress so far."""
    kept = folder.load(name)
    memory = learner.rehearse(kept and kept["learner"])
    return Progress.of_state(kept["progress"]) if kept else Progress(memory, learner.parameters())


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    known = contestants()
    parser.add_argument(
        "--tasks",
        type=Path,
        default=SHIPPED_SPLITS / "fc100.json",
        metavar="FILE",
        help="JSON whose `superclasses` name the classes of each task (default: CIFAR-100's)",
    )
    parser.add_argument("--images", type=int, default=8, help="of each task in a step (default %(default)s)")
    parser.add_argument(
        "--methods", nargs="+", choices=known, default=list(known), metavar="METHOD", help=f"of {', '.join(known)}"
    )


EXPERIMENT = Experiment(
    name="sharing",
    summary="tasks learned at once: accuracy, parameters, time and negative transfer, by what they share and how it is balanced",
    add_arguments=_add_arguments,
    run=run,
    minutes=15,
)
