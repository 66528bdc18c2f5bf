"""From ImageNet to photographs of other kinds: where the last layer stops being enough.

    python -m benchmarks.laboratory transfer --data DATA --minutes 600 --out transfer

`--data` is a folder that holds photos/ and splits/. A network with ImageNet's weights is adapted to 5-way tasks of each kind of
photograph with 1, 5, 20 and all examples a class, by every method of `training/adaptation/` that learns from labels. All of them
are judged on the same episodes. A method's hyper-parameters are chosen by the mean accuracy on validation classes, for each
number of shots; novel classes only measure. After `--minutes`, or when it is stopped, what is finished is kept, and the same
command goes on. `--out` has results.jsonl, table.md and transfer.png.
"""

import argparse
from functools import partial

from torch import Tensor

from benchmarks.laboratory.cells import FOR_ALL, Cells, TimeOver
from benchmarks.laboratory.domain_bench import Bench, Contest, Test, add_arguments, open_bench, scores
from benchmarks.laboratory.domain_report import Results, write
from benchmarks.laboratory.experiment import Experiment
from training.adaptation import last_layer
from training.adaptation.method import Labelled
from training.adaptation.registry import FROM_LABELS
from training.data.dataset import ImageSet

_SHOTS = ("1", "5", "20", "all")
_LEFT_TO_MEASURE = 5  # images of a class, where all others are examples


def shots_of(images: ImageSet, name: str) -> int | None:
    """Returns the number of examples a class; None where the smallest class has too few images, or `all` would be no more."""
    smallest = min(map(len, images.indices_by_class()))
    counts = {name: int(name) for name in _SHOTS[:-1]}
    most = smallest - _LEFT_TO_MEASURE
    if name == "all":
        return most if most not in counts.values() and most > 1 else None
    return counts[name] if counts[name] <= most else None


def run(arguments: argparse.Namespace) -> None:
    """Adapts, measures and reports."""
    bench = open_bench(arguments)
    protocol = bench.protocol(arguments)
    cells = Cells(arguments.out, protocol, arguments.minutes)
    results = Results("transfer", protocol, last_layer.METHOD.name)
    try:
        for shots in _SHOTS:
            for name in arguments.methods:
                _contest(bench, name, shots).measure(cells, bench, results)
    except TimeOver:
        print(f"{arguments.minutes:g} minutes are over; the same command goes on")
    write(arguments.out, results, _SHOTS)
    print((arguments.out / "table.md").read_text())


def _contest(bench: Bench, name: str, shots: str) -> Contest:
    def tested(candidate: Labelled) -> Test:
        def test(support: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
            return scores(candidate.adapt(bench.backbone, support, labels, int(labels.max()) + 1), queries)

        return test

    return Contest((name, shots), FROM_LABELS[name].candidates, partial(shots_of, name=shots), tested)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=FROM_LABELS,
        default=list(FROM_LABELS),
        metavar="METHOD",
        help=f"of {', '.join(FROM_LABELS)}",
    )


EXPERIMENT = Experiment(
    name="transfer",
    summary="from ImageNet's weights to other photographs: last layer, top layers, everything, by shots",
    add_arguments=_add_arguments,
    run=run,
    minutes=60,
    minutes_of=FOR_ALL,
)
