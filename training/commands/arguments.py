"""Arguments that several sub-commands take, and what they stand for."""

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeAlias

from models.bundle import SHIPPED, find_bundles
from models.manifest import InputSpec
from training.class_split import Part, Split
from training.data import DataError, ImageSet
from training.loading import load_images

SubParsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: SubParsers,
    name: str,
    function: Callable[[argparse.Namespace], None],
    summary: str,
    epilog: str | None = None,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=summary, description=summary, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.set_defaults(command=function)
    return command


def add_data(command: argparse.ArgumentParser, *, required: bool) -> None:
    text = "folders of class folders, or zips of them; the same class in several is one class"
    default = "" if required else " (default: the run's)"
    command.add_argument("--data", type=Path, nargs="+", required=required, metavar="PATH", help=text + default)


def add_split(command: argparse.ArgumentParser) -> None:
    text = "JSON with the keys dataset, train, validation, test; or a shipped split: cifar-fs, fc100 (default %(default)s)"
    command.add_argument("--split", default="cifar-fs", metavar="FILE", help=text)


def at_least(least: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value

    return integer


def load_part(paths: Sequence[Path], split: Split, part: Part, spec: InputSpec, base: Collection[str]) -> ImageSet:
    """Images of a part whose classes the backbone must not have been trained on."""
    classes = split.classes(part)
    if seen := sorted(set(classes) & set(base)):
        raise DataError(
            f"the backbone was trained on {len(seen)} of the {part} classes of {split.dataset}: {', '.join(seen[:5])}, …"
        )
    return load_images(paths, classes, spec)


def bundle_path(path_or_id: str) -> Path:
    return find_bundles(SHIPPED).get(path_or_id, Path(path_or_id))
