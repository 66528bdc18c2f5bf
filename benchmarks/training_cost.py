"""What does training cost? Multi-task learning beside five meta-learning methods: validation accuracy against seconds.

    python -m benchmarks.training_cost --data part0.zip part1.zip part2.zip --split cifar-fs --out training_cost

Every method has Conv-4, the same images and augmentation, the same machine in the same run, and the same budget of seconds. Each
method's learning rate runs its whole schedule over that budget. Methods take turns of at most 20 seconds, so that the machine's
other work affects them all; measuring costs none of the budget. Each is judged by the code that serves (a head fitted on frozen
embeddings) and, where it has one, by its own classifier; the better counts. `--out` receives results.json, curves.png and
table.md, after every round of measurements.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.training.cost_evaluation import QUERIES, Evaluator
from benchmarks.training.cost_learners import LEARNERS, WAYS, BaseImages
from benchmarks.training.cost_report import Point, Report
from models.manifest import InputSpec
from training.data.class_split import read_split
from training.data.dataset import ImageSet
from training.data.loading import load_images
from training.devices import describe, pick_device

_TURN_SECONDS = 20.0
_FIRST_SHARE, _GROWTH, _LARGEST_SHARE = 1 / 240, 1.3, 1 / 10
_VALIDATION_IMAGES_PER_CLASS = 100
_EPISODES, _OWN_EPISODES = 600, 150
_NOVEL_EPISODES, _NOVEL_OWN_EPISODES = 2000, 600


def main(argv: Sequence[str] | None = None) -> None:
    """Trains, measures and reports."""
    arguments = _parser().parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = pick_device(arguments.device)
    split = read_split(arguments.split)
    spec = InputSpec(height=32, width=32)
    base, validation, novel = (load_images(arguments.data, part, spec) for part in (split.train, split.validation, split.test))
    report = Report(arguments.out, _protocol(arguments, device, base))
    torch.manual_seed(arguments.seed)
    images = BaseImages(base, device)
    learners = {name: LEARNERS[name](images, arguments.seed) for name in arguments.methods}
    evaluate = Evaluator(validation.first_per_class(_VALIDATION_IMAGES_PER_CLASS), _EPISODES, _OWN_EPISODES, 0, device)
    for learner in learners.values():
        learner.step(0.0)  # Untimed: libraries choose their kernels at the first step.

    for end, measured in tqdm(list(turns(arguments.seconds)), unit="round"):
        for name, learner in learners.items():
            learner.train_until(end, arguments.seconds)
            if measured:
                report.add(name, Point(learner.seconds, learner.steps, learner.images, evaluate(learner)))
        if measured:
            report.write()
    evaluate = Evaluator(novel, _NOVEL_EPISODES, _NOVEL_OWN_EPISODES, 0, device)
    for name, learner in learners.items():
        report.finish(name, evaluate(learner))
    report.write()
    print(report.table())


def turns(budget: float) -> Iterator[tuple[float, bool]]:
    """Yields the end of each round of turns, in seconds of training, and whether accuracy is measured then."""
    end, mark = 0.0, _FIRST_SHARE * budget
    while end < budget:
        end = min(end + _TURN_SECONDS, mark)
        yield end, end == mark
        if end == mark:
            mark = min(mark + min((_GROWTH - 1.0) * mark, _LARGEST_SHARE * budget), budget)


def _protocol(arguments: argparse.Namespace, device: torch.device, base: ImageSet) -> dict[str, str | int | float]:
    return {
        "hardware": describe(device, 1),
        "torch": str(torch.__version__),
        "split": arguments.split,
        "base images": len(base),
        "budget in seconds": arguments.seconds,
        "seed": arguments.seed,
        "ways": WAYS,
        "queries per class": QUERIES,
        "validation episodes": _EPISODES,
        "validation episodes, own classifier": _OWN_EPISODES,
        "novel episodes": _NOVEL_EPISODES,
        "novel episodes, own classifier": _NOVEL_OWN_EPISODES,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_cost", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="as for headstart-train run")
    parser.add_argument("--split", default="cifar-fs", help="as for headstart-train run (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=1200, help="seconds of training for each method (default %(default)s)")
    parser.add_argument("--methods", nargs="+", choices=LEARNERS, default=list(LEARNERS), help="(default all)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives results.json, curves.png, table.md")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto: cuda where it is (default %(default)s)")
    parser.add_argument("--threads", type=int, help="threads of PyTorch on a CPU (default: PyTorch's)")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
