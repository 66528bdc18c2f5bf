"""`calibrate`: chooses a bundle's head options, and measures it, as an export does, for a bundle that exists already."""

import argparse
from functools import partial

from models.bundle import ONNX, ONNX_FP16, ONNX_INT8, open_bundle, replace_card
from models.engine import EngineKind, open_engine
from models.heads.solvers import METHODS
from models.heads.temperature import Law, law_of
from models.manifest import SeveralLaw, SingleLaw, Solver, SupportLaw
from training.calibration.scoring import Scorer
from training.commands.arguments import SubParsers, add_command, add_datasets, at_least, bundle_path
from training.commands.datasets import check_names, held_out_images
from training.data.class_split import read_split
from training.data.dataset import DataError
from training.export.card import model_card
from training.export.float16 import open_as_on_gpu

say = partial(print, flush=True)


def add_to(commands: SubParsers) -> None:
    calibrate = add_command(
        commands,
        "calibrate",
        _calibrate,
        "choose a bundle's head defaults, temperature laws and novelty law on images of several kinds",
        "C, centring, temperature laws and the novelty law are chosen on the validation classes of all datasets,\n"
        "which count equally. Accuracy is measured on validation and novel classes, and replaces the earlier figures.\n"
        "Only manifest.json and the card are written, so stored heads stay valid.",
    )
    calibrate.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder, or the id of a shipped one")
    add_datasets(calibrate, "give it again for another dataset")
    calibrate.add_argument(
        "--split",
        action="append",
        metavar="FILE",
        help="JSON with the keys dataset, train, validation, test, or a shipped split, as cifar-fs; once for each --data."
        " Options are chosen on its validation classes, and accuracy is measured on its test classes, where it has them",
    )
    calibrate.add_argument(
        "--episodes", type=at_least(2), default=2000, help="episodes of each measurement (default %(default)s)"
    )


def _calibrate(arguments: argparse.Namespace) -> None:
    sources = arguments.split or []
    if len(sources) != len(arguments.data):
        raise DataError(f"--split was given {len(sources)} times, --data {len(arguments.data)} times")
    splits = [read_split(source) for source in sources]
    check_names([split.dataset for split in splits])
    bundle = open_bundle(bundle_path(arguments.bundle))
    manifest = bundle.manifest
    spec, trained, share = manifest.input, manifest.training.classes, arguments.broken_share
    datasets = [held_out_images(paths, split, spec, trained, share) for paths, split in zip(arguments.data, splits, strict=True)]
    if not any(data.validation for data in datasets):
        raise DataError("none of the datasets has enough validation classes to choose on")
    scorer = Scorer(datasets, bundle.feature_mean, bundle.background, arguments.episodes)
    chosen = scorer.choose_heads(open_engine(bundle, "onnx"), say)  # as at export: int8 is a copy of it
    head = chosen.model_copy(update={"solver": manifest.head.solver})
    evaluations = []
    kinds: dict[str, EngineKind] = {ONNX: "onnx", ONNX_INT8: "onnx-int8", ONNX_FP16: "onnx-fp16"}
    for file, kind in kinds.items():
        if file in manifest.files:
            say(f"evaluating {file}, {arguments.episodes} episodes for each line of the card")
            engine = open_as_on_gpu(bundle) if file == ONNX_FP16 else open_engine(bundle, kind)
            evaluations += scorer.evaluations(engine, file, head)
    described = manifest.model_copy(update={"head": head, "evaluations": tuple(evaluations)})
    replace_card(bundle.path, described, model_card(described).encode())
    for solver in METHODS:
        if (law := law_of(head, solver)) is not None:
            print(law_line(solver, law))


def law_line(solver: Solver, law: Law) -> str:
    """Returns a law as its equation."""
    if isinstance(law, SupportLaw):
        return f"{solver:<10}{_sum('log T of single examples', law.single)}\n{'':<10}{_sum('log T of several', law.several)}"
    ways = f"{law.log_ways:+.3f} log ways {law.inverse_ways:+.3f} / ways"
    return f"{solver:<10}log T = {law.intercept:.3f} {ways} {law.log_shots:+.3f} log shots {law.inverse_shots:+.3f} / shots"


def _sum(title: str, part: SingleLaw | SeveralLaw) -> str:
    terms = [f"{value:+.3f} {name}" for name, value in part]
    return f"{title} = {' '.join(terms).replace('_', ' ')}"
