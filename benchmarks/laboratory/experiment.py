"""The entry of an experiment, which ends the file of each."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One experiment, `python -m benchmarks.laboratory NAME`.

    Attributes:
        summary: one line for `--help`.
        add_arguments: adds the flags of its own. All experiments have `--data`, `--minutes`, `--out`, `--device`, `--threads`
            and `--seed`.
        run: carries it out, or goes on with it, and leaves its files in `--out`.
        minutes: the default of `--minutes`.
        minutes_of: what these are minutes of, for `--help`.
        needs_data: whether there is `--data`.
    """

    name: str
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    minutes: float
    minutes_of: str = "of training for each contestant"
    needs_data: bool = True
