"""`export`: makes a bundle of a finished run."""

import argparse
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from models.bundle import ONNX_FP16, TORCHSCRIPT
from models.manifest import InputSpec
from training.commands.arguments import SubParsers, add_command, add_datasets, at_least
from training.commands.datasets import check_names, held_out_images, load, places_of
from training.data.class_split import Split, read_split
from training.data.dataset import DataError, DatasetParts
from training.devices import keep_freed_memory
from training.export.finished_run import export, refuse_hopeless
from training.run.checkpoint import Checkpoint

_STATISTICS_PER_CLASS = 200

say = partial(print, flush=True)


def add_to(commands: SubParsers) -> None:
    exporting = add_command(commands, "export", _export, "make a bundle of a run: ONNX, TorchScript, statistics, head defaults")
    exporting.add_argument("run", type=Path, metavar="DIR", help="the --out of the run")
    add_datasets(
        exporting, "once for each dataset of the run, in their order (default: where the run found them)", required=False
    )
    exporting.add_argument(
        "--also",
        type=Path,
        nargs="+",
        action="append",
        default=[],
        metavar="PATH",
        help="a dataset that was not trained on: head options are chosen on its validation classes too, and it is evaluated",
    )
    exporting.add_argument(
        "--split", action="append", default=[], metavar="FILE", help="the classes of an --also dataset; once for each"
    )
    exporting.add_argument(
        "--input-size",
        type=at_least(16),
        metavar="PIXELS",
        help="side of the bundle's input (default: the run's); for networks that take images of any size",
    )
    add_bundle(exporting, "the recipe's")
    exporting.set_defaults(without=[])
    leaving_out = partial(exporting.add_argument, action="append_const", dest="without")
    leaving_out("--without-torchscript", const=TORCHSCRIPT, help="check TorchScript but leave it out, for half the size")
    leaving_out("--without-float16", const=ONNX_FP16, help="make no float16 version, which only a GPU runs")


def add_bundle(command: argparse.ArgumentParser, name: str) -> None:
    """Adds the arguments that name the bundle and its folder; `name` describes the default name."""
    command.add_argument("--name", help=f"name of the bundle (default: {name})")
    command.add_argument("--version", default="1", help="version of the bundle (default %(default)s)")
    command.add_argument(
        "--out", type=Path, default=Path("bundles"), metavar="DIR", help="folder of bundles (default %(default)s)"
    )


def say_how_to_serve(bundle: Path) -> None:
    """Prints the command that serves a bundle in this folder."""
    version, name, folder = bundle.name, bundle.parent.name, bundle.parent.parent
    say(f"wrote {bundle}; serve it with: headstart-server --bundles-dir {folder} --bundle {name}@{version}")


def _export(arguments: argparse.Namespace) -> None:
    keep_freed_memory()
    checkpoint = Checkpoint.load(arguments.run)
    name = arguments.name or checkpoint.recipe.name
    refuse_hopeless(checkpoint, name, arguments.version, arguments.out)
    known, size = checkpoint.info.datasets, arguments.input_size or checkpoint.recipe.input_size
    places = places_of(arguments.data, known)
    if len(arguments.split) != len(arguments.also):
        raise DataError(f"--split was given {len(arguments.split)} times, --also {len(arguments.also)} times")
    further = [read_split(source) for source in arguments.split]
    check_names([*(data.split.dataset for data in known), *(split.dataset for split in further)])
    spec, share, classes = InputSpec(height=size, width=size), arguments.broken_share, checkpoint.info.classes
    datasets = [
        *(_trained_on(paths, data.split, spec, classes, share) for paths, data in zip(places, known, strict=True)),
        *(held_out_images(paths, split, spec, classes, share) for paths, split in zip(arguments.also, further, strict=True)),
    ]
    say_how_to_serve(export(checkpoint, datasets, name, arguments.version, arguments.out, arguments.without, say, size))


def _trained_on(paths: Sequence[Path], split: Split, spec: InputSpec, trained: Collection[str], share: float) -> DatasetParts:
    """Returns the images of a dataset of the run; `trained` are all classes of the run."""
    base = load(paths, split.train, spec, share).first_per_class(_STATISTICS_PER_CLASS)
    return held_out_images(paths, split, spec, trained, share, base)
