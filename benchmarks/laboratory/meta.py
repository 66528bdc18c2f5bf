"""Multi-task learning beside the meta-learning methods: accuracy against seconds of training, and against memory.

    python -m benchmarks.laboratory meta --data part0.zip part1.zip part2.zip --minutes 17 --out meta

Every method of `training/objectives/` has Conv-4, the same images and augmentation, the same machine in the same run, and the
same budget of seconds. Each method's learning rate runs its whole schedule over that budget. Methods take turns of at most 20
seconds; measuring costs none of the budget. Each is judged by the code that serves (a head fitted on frozen embeddings) and,
where it has one, by its own classifier; the better counts. `--out` receives results.jsonl, curves.png, memory.png and table.md,
after every round of measurements. Started again with the same `--out`, it goes on after the last turn of each method.
"""

import argparse
from dataclasses import asdict

import torch
from tqdm import tqdm

from benchmarks.laboratory.evaluation import QUERIES, Evaluator
from benchmarks.laboratory.experiment import Experiment
from benchmarks.laboratory.learners import WAYS, BaseImages, Learner, contestants
from benchmarks.laboratory.record import Curve, Folder, Point
from benchmarks.laboratory.report import Report
from benchmarks.laboratory.turns import turns
from models.manifest import InputSpec
from training.data.class_split import read_split
from training.data.dataset import ImageSet
from training.data.loading import load_images
from training.devices import describe, pick_device

_VALIDATION_IMAGES_PER_CLASS = 100
_EPISODES, _OWN_EPISODES = 600, 60
_NOVEL_EPISODES, _NOVEL_OWN_EPISODES = 2000, 150


def run(arguments: argparse.Namespace) -> None:
    """Trains, measures and reports."""
    device = pick_device(arguments.device)
    split = read_split(arguments.split)
    spec = InputSpec(height=32, width=32)
    base, validation, novel = (load_images(arguments.data, part, spec) for part in (split.train, split.validation, split.test))
    budget = 60.0 * arguments.minutes
    protocol = _protocol(arguments, device, base, budget)
    folder = Folder(arguments.out, protocol)
    images = BaseImages(base, device)
    chosen = contestants(arguments.methods)
    torch.manual_seed(arguments.seed)
    learners = {name: contestant.learner(images, arguments.seed) for name, contestant in chosen.items()}
    curves = {name: _resume(name, learner, folder) for name, learner in learners.items()}
    report = Report(arguments.out, protocol, chosen, curves)

    evaluate = Evaluator(validation.first_per_class(_VALIDATION_IMAGES_PER_CLASS), _EPISODES, _OWN_EPISODES, 0, device)
    for end, measured in tqdm(list(turns(budget)), unit="round"):
        behind = [name for name, learner in learners.items() if learner.seconds < end]
        for name in behind:
            learner, curve = learners[name], curves[name]
            learner.train_until(end, budget)
            if measured:
                curve.points.append(Point(learner.seconds, learner.steps, learner.images, evaluate(learner)))
            folder.save(name, {"curve": asdict(curve), "learner": learner.state()})
        if measured and behind:
            report.write()
    evaluate = Evaluator(novel, _NOVEL_EPISODES, _NOVEL_OWN_EPISODES, 0, device)
    for name, learner in learners.items():
        if curves[name].novel is None:
            curves[name].novel = evaluate(learner)
            folder.save(name, {"curve": asdict(curves[name]), "learner": learner.state()})
    report.write()
    print(report.table())


def _resume(name: str, learner: Learner, folder: Folder) -> Curve:
    """Brings a method to where it was stopped, and returns its curve so far."""
    kept = folder.load(name)
    memory = learner.rehearse(kept and kept["learner"])
    return Curve.of_state(kept["curve"]) if kept else Curve(memory=memory)


def _protocol(arguments: argparse.Namespace, device: torch.device, base: ImageSet, budget: float) -> dict[str, str | int | float]:
    return {
        "hardware": describe(device, 1),
        "torch": str(torch.__version__),
        "split": arguments.split,
        "base images": len(base),
        "budget in seconds": budget,
        "seed": arguments.seed,
        "ways": WAYS,
        "queries per class": QUERIES,
        "validation episodes": _EPISODES,
        "validation episodes, own classifier": _OWN_EPISODES,
        "novel episodes": _NOVEL_EPISODES,
        "novel episodes, own classifier": _NOVEL_OWN_EPISODES,
    }


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    known = contestants()
    parser.add_argument("--split", default="cifar-fs", help="as for headstart-train run (default %(default)s)")
    parser.add_argument(
        "--methods", nargs="+", choices=known, default=list(known), metavar="METHOD", help=f"of {', '.join(known)}"
    )


EXPERIMENT = Experiment(
    name="meta",
    summary="multi-task learning beside the meta-learning methods: accuracy against seconds and memory",
    add_arguments=_add_arguments,
    run=run,
    minutes=20,
)
