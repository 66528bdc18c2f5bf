"""The laboratory: methods of the field on one bench.

    python -m benchmarks.laboratory EXPERIMENT --data … --minutes N --out FOLDER

Each experiment is a file of this folder that ends with its entry. All contestants of an experiment have the same network, data,
augmentation, budget of seconds and evaluation. Started again with the same `--out`, an experiment goes on where it was stopped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.laboratory.experiment import Experiment
from benchmarks.laboratory.record import OtherSettings
from training.entries import entries


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one experiment."""
    arguments = _parser().parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        arguments.run(arguments)
    except OtherSettings as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.laboratory", description=(__doc__ or "").splitlines()[0])
    experiments = parser.add_subparsers(required=True, metavar="EXPERIMENT")
    for experiment in entries("benchmarks.laboratory", Experiment).values():
        own = experiments.add_parser(experiment.name, help=experiment.summary, description=experiment.summary)
        own.set_defaults(run=experiment.run)
        if experiment.needs_data:
            own.add_argument("--data", type=Path, nargs="+", required=True, help="as for headstart-train run")
        own.add_argument(
            "--minutes", type=float, default=experiment.minutes, help=f"{experiment.minutes_of} (default %(default)s)"
        )
        own.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives results, and what a restart needs")
        own.add_argument("--device", default="auto", help="cpu, cuda, or auto: cuda where it is (default %(default)s)")
        own.add_argument("--threads", type=int, help="threads of PyTorch on a CPU (default: PyTorch's)")
        own.add_argument("--seed", type=int, default=1, help="(default %(default)s)")
        experiment.add_arguments(own)
    return parser


if __name__ == "__main__":
    main()
