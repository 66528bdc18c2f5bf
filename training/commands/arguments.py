"""Arguments that several sub-commands take, and what they stand for."""

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from models.bundle import SHIPPED, find_bundles
from models.manifest import InputSpec
from training.data.class_split import Part, Split
from training.data.dataset import DataError, ImageSet, Skipped
from training.data.loading import load_images
from training.data.sources import list_left_out
from training.evaluation.episodes import SHOTS, WAYS

LEAST_TO_MEASURE = max(SHOTS) + 1  # images of a class: examples and one query

SubParsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: SubParsers,
    name: str,
    function: Callable[[argparse.Namespace], None],
    summary: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    """A sub-command whose line breaks in help stay, and which runs `function`."""
    command = commands.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(command=function)
    return command


def add_data(command: argparse.ArgumentParser, *, required: bool) -> None:
    text = "folders of class folders, or zips of them; the same class in several is one class"
    default = "" if required else " (default: the run's)"
    command.add_argument("--data", type=Path, nargs="+", required=required, metavar="PATH", help=text + default)
    add_broken_share(command)


def add_datasets(command: argparse.ArgumentParser, more: str, *, required: bool = True) -> None:
    """`--data`, which may be given once for each of several datasets; `more` says so."""
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
    command.add_argument(
        "--broken-share",
        type=_share,
        default=0.01,
        metavar="SHARE",
        help="of the files that may be unreadable; they are listed and skipped (default %(default)s)",
    )


def at_least(least: int) -> Callable[[str], int]:
    """An argument's type: an integer not below `least`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return integer


def load(paths: Sequence[Path], classes: Sequence[str], spec: InputSpec, broken_share: float, minimum: int = 1) -> ImageSet:
    """Images of the classes; every other visible file of the dataset is listed on standard error."""
    images = load_images(paths, classes, spec, broken_share=broken_share, minimum=minimum)
    for skipped in (*images.skipped, *list_left_out(paths, classes)):
        _tell(skipped)
    return images


@cache
def _tell(skipped: Skipped) -> None:
    """Once, although each part of a dataset is loaded by itself."""
    print(f"skipped {skipped}", file=sys.stderr, flush=True)


def load_part(
    paths: Sequence[Path], split: Split, part: Part, spec: InputSpec, base: Collection[str], broken_share: float, minimum: int = 1
) -> ImageSet:
    """Images of a part whose classes the backbone must not have been trained on."""
    classes = split.classes(part)
    if seen := sorted(set(split.known_as(part)) & set(base)):
        raise DataError(
            f"the backbone was trained on {len(seen)} of the {part} classes of {split.dataset}: {', '.join(seen[:5])}, …"
        )
    return load(paths, classes, spec, broken_share, minimum)


def load_for_episodes(
    paths: Sequence[Path], split: Split, part: Part, spec: InputSpec, base: Collection[str], broken_share: float
) -> ImageSet | None:
    """Likewise, where there are classes enough for the protocol's episodes; None, and a line on standard error, otherwise.

    Raises:
        DataError: a class has fewer images than an episode takes, or the backbone was trained on it.
    """
    classes = split.classes(part)
    if len(classes) >= WAYS:
        return load_part(paths, split, part, spec, base, broken_share, LEAST_TO_MEASURE)
    if classes:
        text = f"left out the {len(classes)} {part} classes of {split.dataset}: {WAYS}-way episodes need {WAYS}"
        print(text, file=sys.stderr, flush=True)
    return None


def check_names(names: Sequence[str]) -> None:
    """Raises: DataError: two datasets have one name, so that figures of the two could not be told apart."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"two datasets are called {twice[0]}; give one a --split file that names it otherwise, or rename its folder"
        )


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share of one")
    return value


def bundle_path(path_or_id: str) -> Path:
    return find_bundles(SHIPPED).get(path_or_id, Path(path_or_id))
