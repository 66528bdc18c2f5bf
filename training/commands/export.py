"""`export`: from a finished run to a bundle."""

import argparse
from pathlib import Path

from models.manifest import InputSpec
from training.checkpoint import Checkpoint
from training.commands.arguments import SubParsers, add_command, add_data, load_part
from training.data import load_images
from training.export import Sources, export


def add_to(commands: SubParsers) -> None:
    exporting = add_command(commands, "export", _export, "make a bundle of a run: ONNX, TorchScript, statistics, head defaults")
    exporting.add_argument("run", type=Path, metavar="DIR", help="the --out of the run")
    add_data(exporting, required=False)
    exporting.add_argument("--name", help="of the bundle (default: the recipe's)")
    exporting.add_argument("--version", default="1", help="of the bundle (default %(default)s)")
    exporting.add_argument("--out", type=Path, default=Path("bundles"), metavar="DIR", help="default %(default)s")
    exporting.add_argument("--without-torchscript", action="store_true", help="check it but leave it out: half the size")


def _export(arguments: argparse.Namespace) -> None:
    checkpoint = Checkpoint.load(arguments.run)
    paths = arguments.data or [Path(path) for path in checkpoint.info.data]
    split, spec = checkpoint.info.split, InputSpec(height=checkpoint.recipe.input_size, width=checkpoint.recipe.input_size)
    sources = Sources(
        checkpoint,
        load_images(paths, checkpoint.info.classes, spec),
        load_part(paths, split, "validation", spec, checkpoint.info.classes),
        load_part(paths, split, "test", spec, checkpoint.info.classes),
    )
    name = arguments.name or checkpoint.recipe.name
    path = export(
        sources, name, arguments.version, arguments.out, not arguments.without_torchscript, lambda line: print(line, flush=True)
    )
    print(f"wrote {path}; serve it with: headstart-server --bundles-dir {arguments.out} --bundle {name}@{arguments.version}")
