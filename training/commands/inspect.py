"""`inspect`: prints a bundle's description, after every file was verified."""

import argparse

from models.bundle import open_bundle
from models.heads.temperature import law_of
from models.manifest import Imported, Training
from training.commands.arguments import SubParsers, add_command, bundle_path
from training.commands.calibrate import law_line


def add_to(commands: SubParsers) -> None:
    inspect = add_command(commands, "inspect", _inspect, "verify a bundle and show its description")
    inspect.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder, or the id of a shipped one")
    inspect.add_argument("--json", action="store_true", help="print the manifest as JSON")


def _inspect(arguments: argparse.Namespace) -> None:
    bundle = open_bundle(bundle_path(arguments.bundle))
    manifest = bundle.manifest
    if arguments.json:
        print(manifest.model_dump_json(indent=1))
        return
    head, architecture = manifest.head.options(), manifest.architecture
    widths = f" {architecture.widths}" if architecture.widths else ""
    print(f"{manifest.id}: {architecture.name}{widths}, {manifest.embedding_dim}-wide embedding")
    spec = manifest.input
    crop = f" at {spec.shortest_edge}" if spec.shortest_edge else ""
    print(f"  input     {spec.height} x {spec.width} {spec.colour}, {spec.resize}{crop}, {spec.interpolation}")
    if manifest.text is not None:
        print(f"  text      {manifest.text.length} tokens, “{manifest.text.template}”, scale {manifest.text.scale:g}")
    for line in _origin(manifest.training):
        print(f"  {line}")
    print(f"  head      {head.solver}, C {head.C:g}, temperature {head.temperature:g}, centre {head.centre}")
    if (law := law_of(manifest.head)) is not None:
        print("  " + law_line(head.solver, law).replace("\n", "\n  "))
    for e in manifest.evaluations:
        print(
            f"  {e.dataset:<16}{e.part:<12}{e.file:<20}{e.solver:<10}{e.ways}-way {e.shots}-shot "
            f"{100 * e.accuracy:6.2f} ± {100 * e.ci95:.2f} %  ECE {100 * e.ece:.1f} %"
        )
    for name, entry in manifest.files.items():
        print(f"  {name:<24}{entry.size / 1e6:8.2f} MB  sha256 {entry.sha256[:16]}… verified")


def _origin(made: Training | Imported) -> list[str]:
    if isinstance(made, Imported):
        digest = f", sha256 {made.sha256[:16]}…" if made.sha256 else ""
        return [f"imported  {made.source}, weights {made.weights}{digest}; statistics of {made.images} images"]
    return [
        f"trained   {made.recipe} on {made.dataset}, {len(made.classes)} classes, {made.images} images",
        f"          {made.epochs} epochs, seed {made.seed}, {made.seconds:.0f} s on {made.hardware}",
    ]
