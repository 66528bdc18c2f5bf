"""Arguments that several sub-commands take."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from models.bundle import SHIPPED, find_bundles

SubParsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: SubParsers,
    name: str,
    function: Callable[[argparse.Namespace], None],
    summary: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """Adds and returns a sub-command that runs `function`, and whose help keeps its line breaks."""
    command = commands.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(command=function)
    return command


def add_data(command: argparse.ArgumentParser, *, required: bool) -> None:
    """Adds `--data` for one dataset, and `--broken-share`."""
    text = "folders of class folders, or zips of them; the same class in several is one class"
    default = "" if required else " (default: the run's)"
    command.add_argument("--data", type=Path, nargs="+", required=required, metavar="PATH", help=text + default)
    add_broken_share(command)


def add_datasets(command: argparse.ArgumentParser, more: str, *, required: bool = True) -> None:
    """Adds `--data`, which may be given once for each of several datasets; `more` is the end of its help."""
    command.add_argument(
        "--data",
        type=Path,
        nargs="+",
        action="append",
        required=required,
        metavar="PATH",
        help=f"folders of class folders, or zips of them; the same class in several is one class; {more}",
    )
    add_broken_share(command)


def add_broken_share(command: argparse.ArgumentParser) -> None:
    """Adds `--broken-share`."""
    command.add_argument(
        "--broken-share",
        type=_share,
        default=0.01,
        metavar="SHARE",
        help="share of the files that may be unreadable; these are listed and skipped (default %(default)s)",
    )


def at_least(least: int) -> Callable[[str], int]:
    """Returns an argument's type: an integer not below `least`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return integer


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share of one")
    return value


def bundle_path(path_or_id: str) -> Path:
    """Returns the folder of a shipped bundle by its id, or the given path."""
    return find_bundles(SHIPPED).get(path_or_id, Path(path_or_id))
