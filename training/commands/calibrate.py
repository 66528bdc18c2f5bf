"""`calibrate`: what an export writes into the manifest about temperatures, for a bundle that exists already."""

import argparse

from models.bundle import open_bundle, replace_manifest
from models.engine import embed_all, open_engine
from models.manifest import Solver, TemperatureLaw
from training.class_split import read_split
from training.commands.arguments import SubParsers, add_command, add_data, bundle_path, load_part
from training.temperatures import tune_temperatures


def add_to(commands: SubParsers) -> None:
    calibrate = add_command(
        commands,
        "calibrate",
        _calibrate,
        "fit how the temperature of a bundle's heads follows ways and shots",
        "Writes the laws into manifest.json, and touches no other file: heads that are stored stay valid.",
    )
    calibrate.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder, or the id of a shipped one")
    add_data(calibrate, required=True)
    text = "whose validation classes are used; or a shipped split: cifar-fs, fc100, omniglot (default %(default)s)"
    calibrate.add_argument("--split", default="cifar-fs", metavar="FILE", help=text)


def _calibrate(arguments: argparse.Namespace) -> None:
    bundle = open_bundle(bundle_path(arguments.bundle))
    manifest = bundle.manifest
    split = read_split(arguments.split)
    images = load_part(arguments.data, split, "validation", manifest.input, manifest.training.classes, arguments.broken_share)
    engine = open_engine(bundle, "onnx")  # as at export: int8 is a copy of it
    laws = tune_temperatures(embed_all(engine, images.images), bundle.feature_mean, manifest.head, images.indices_by_class())
    head = manifest.head.model_copy(update={"temperatures": laws})
    replace_manifest(bundle.path, manifest.model_copy(update={"head": head}))
    for options in (head.logistic, head.ridge, head.prototype):
        print(law_line(options.solver, laws.of(options.solver)))


def law_line(solver: Solver, law: TemperatureLaw) -> str:
    """A law as its equation."""
    ways = f"{law.log_ways:+.3f} log ways {law.inverse_ways:+.3f} / ways"
    return f"{solver:<10}log T = {law.intercept:.3f} {ways} {law.log_shots:+.3f} log shots {law.inverse_shots:+.3f} / shots"
