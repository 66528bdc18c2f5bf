"""`export`: from a finished run to a bundle."""

import argparse
from functools import partial
from pathlib import Path

from models.manifest import InputSpec
from training.checkpoint import Checkpoint
from training.commands.arguments import SubParsers, add_command, add_data, load, load_part
from training.export import export, refuse_hopeless
from training.scoring import Images

_STATISTICS_PER_CLASS = 200

say = partial(print, flush=True)


def add_to(commands: SubParsers) -> None:
    exporting = add_command(commands, "export", _export, "make a bundle of a run: ONNX, TorchScript, statistics, head defaults")
    exporting.add_argument("run", type=Path, metavar="DIR", help="the --out of the run")
    add_data(exporting, required=False)
    add_bundle(exporting, "the recipe's")
    exporting.add_argument("--without-torchscript", action="store_true", help="check it but leave it out: half the size")


def add_bundle(command: argparse.ArgumentParser, name: str) -> None:
    """Arguments that say which bundle is made; `name` describes the default name."""
    command.add_argument("--name", help=f"of the bundle (default: {name})")
    command.add_argument("--version", default="1", help="of the bundle (default %(default)s)")
    command.add_argument("--out", type=Path, default=Path("bundles"), metavar="DIR", help="default %(default)s")


def say_how_to_serve(bundle: Path) -> None:
    version, name, folder = bundle.name, bundle.parent.name, bundle.parent.parent
    say(f"wrote {bundle}; serve it with: headstart-server --bundles-dir {folder} --bundle {name}@{version}")


def _export(arguments: argparse.Namespace) -> None:
    checkpoint = Checkpoint.load(arguments.run)
    name = arguments.name or checkpoint.recipe.name
    refuse_hopeless(checkpoint, name, arguments.version, arguments.out)
    trained, size = checkpoint.info.datasets[0], checkpoint.recipe.input_size
    paths = arguments.data or [Path(path) for path in trained.paths]
    spec, share = InputSpec(height=size, width=size), arguments.broken_share
    images = Images(
        trained.split.dataset,
        load(paths, trained.split.train, spec, share).first_per_class(_STATISTICS_PER_CLASS),
        load_part(paths, trained.split, "validation", spec, checkpoint.info.classes, share),
        load_part(paths, trained.split, "test", spec, checkpoint.info.classes, share),
    )
    with_torchscript = not arguments.without_torchscript
    say_how_to_serve(export(checkpoint, images, name, arguments.version, arguments.out, with_torchscript, say))
