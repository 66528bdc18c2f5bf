"""`evaluate`: accuracy of a bundle over few-shot episodes."""

import argparse
import json
from dataclasses import asdict
from typing import get_args

from models.bundle import open_bundle
from models.engine import EngineKind, embed_all, open_engine
from training.commands.arguments import SubParsers, add_command, add_data, add_split, at_least, bundle_path, load_part
from training.episodes import EpisodeSampler
from training.evaluate import score


def add_to(commands: SubParsers) -> None:
    evaluate = add_command(commands, "evaluate", _evaluate, "accuracy of a bundle over few-shot episodes")
    evaluate.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder, or the id of a shipped one")
    add_data(evaluate, required=True)
    add_split(evaluate)
    evaluate.add_argument("--part", choices=("train", "validation", "test"), default="test", help="classes to draw from")
    evaluate.add_argument("--ways", type=at_least(2), default=5, help="classes per episode (default %(default)s)")
    evaluate.add_argument("--shots", type=at_least(1), nargs="+", default=[1, 5], help="examples per class (default 1 5)")
    evaluate.add_argument("--queries", type=at_least(1), default=15, help="per class (default %(default)s)")
    evaluate.add_argument("--episodes", type=at_least(1), default=2000, help="default %(default)s")
    evaluate.add_argument("--seed", type=at_least(0), default=1, help="of the episodes (default %(default)s)")
    evaluate.add_argument("--solver", choices=("logistic", "ridge", "prototype"), help="default: the bundle's")
    evaluate.add_argument("--engine", choices=get_args(EngineKind), default="auto", help="default: what the server would take")
    evaluate.add_argument("--json", action="store_true", help="shares of one, for scripts")


def _evaluate(arguments: argparse.Namespace) -> None:
    bundle = open_bundle(bundle_path(arguments.bundle))
    engine = open_engine(bundle, arguments.engine)
    base = () if arguments.part == "train" else bundle.manifest.training.classes
    images = load_part(arguments.data, arguments.split, arguments.part, bundle.manifest.input, base)
    samplers = [
        EpisodeSampler(images.indices_by_class(), arguments.ways, shots, arguments.queries, arguments.seed)
        for shots in arguments.shots
    ]
    embeddings = embed_all(engine, images.images)
    options = bundle.manifest.head.options(arguments.solver)
    scores = [score(embeddings, bundle.feature_mean, sampler, arguments.episodes, options) for sampler in samplers]
    if arguments.json:
        print(json.dumps({"results": [asdict(scored) for scored in scores]}))
        return
    print(f"{bundle.id} on {engine.kind}, {options.solver} heads, {arguments.part} classes, seed {arguments.seed}")
    print(f"{'ways':>5}{'shots':>7}{'queries':>9}{'episodes':>10}{'accuracy %':>18}{'ECE %':>8}")
    for s in scores:
        accuracy = f"{100 * s.accuracy:.2f} ± {100 * s.ci95:.2f}"
        print(f"{s.ways:>5}{s.shots:>7}{s.queries:>9}{s.episodes:>10}{accuracy:>18}{100 * s.ece:>8.1f}")
