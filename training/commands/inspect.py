"""`inspect`: what a bundle says of itself, every file verified."""

import argparse

from models.bundle import open_bundle
from training.commands.arguments import SubParsers, add_command, bundle_path


def add_to(commands: SubParsers) -> None:
    inspect = add_command(commands, "inspect", _inspect, "verify a bundle and show what it says of itself")
    inspect.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder, or the id of a shipped one")
    inspect.add_argument("--json", action="store_true", help="the manifest")


def _inspect(arguments: argparse.Namespace) -> None:
    bundle = open_bundle(bundle_path(arguments.bundle))
    manifest = bundle.manifest
    if arguments.json:
        print(manifest.model_dump_json(indent=1))
        return
    trained, head = manifest.training, manifest.head.options()
    print(f"{manifest.id}: {manifest.architecture.name} {manifest.architecture.widths}, {manifest.embedding_dim}-wide embedding")
    print(f"  input     {manifest.input.height} x {manifest.input.width} {manifest.input.colour}, {manifest.input.resize}")
    print(f"  trained   {trained.recipe} on {trained.dataset}, {len(trained.classes)} classes, {trained.images} images")
    print(f"            {trained.epochs} epochs, seed {trained.seed}, {trained.seconds:.0f} s on {trained.hardware}")
    print(f"  head      {head.solver}, C {head.C:g}, temperature {head.temperature:g}, centre {head.centre}")
    for e in manifest.evaluations:
        print(
            f"  {e.part:<10}{e.file:<20}{e.solver:<10}{e.ways}-way {e.shots}-shot "
            f"{100 * e.accuracy:6.2f} ± {100 * e.ci95:.2f} %  ECE {100 * e.ece:.1f} %"
        )
    for name, entry in manifest.files.items():
        print(f"  {name:<24}{entry.size / 1e6:8.2f} MB  sha256 {entry.sha256[:16]}… verified")
