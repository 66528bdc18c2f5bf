"""`headstart-train`: trains, searches, resumes, evaluates, exports, imports and inspects."""

import argparse
import os
import sys
from collections.abc import Sequence

from training.extras import what_to_install

try:
    from training.commands import COMMANDS
except ModuleNotFoundError as error:
    sys.exit(what_to_install(error))
except KeyboardInterrupt:  # PyTorch takes its time
    print("headstart-train: stopped", file=sys.stderr)
    sys.exit(130)

from models.backbones.weights import PretrainedError
from models.bundle import BundleError
from models.console import print_anything
from models.engine import EngineError
from training.data.dataset import DataError
from training.devices import DeviceError
from training.export.bundle import ExportError
from training.export.graphs import GraphError
from training.run.balance import BalancingError
from training.run.checkpoint import CheckpointError
from training.run.interrupt import Interrupted
from training.run.recipes import RecipeError
from training.search.folder import SearchError

_INTERRUPTED = 130
_CLOSED = 141
_REFUSALS = (
    BalancingError,
    BundleError,
    CheckpointError,
    DataError,
    DeviceError,
    EngineError,
    ExportError,
    GraphError,
    PretrainedError,
    RecipeError,
    SearchError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit status.

    0 is done, 1 refused with one line on standard error, 2 wrong usage, 130 interrupted, and 141 if the reader of the output has
    gone.
    """
    print_anything()
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python may still write to it
        return _CLOSED


def _run(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except Interrupted as stop:
        print(f"headstart-train: {stop}", file=sys.stderr)
        return _INTERRUPTED
    except KeyboardInterrupt:
        print("headstart-train: stopped", file=sys.stderr)
        return _INTERRUPTED
    except _REFUSALS as error:
        print(f"headstart-train: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(what_to_install(error), file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"headstart-train: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headstart-train", description="Trains backbones for Headstart and makes bundles of them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
