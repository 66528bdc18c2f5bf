"""A dataset's held-out classes, embedded by a shipped bundle, for the benchmarks of accuracy."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.shared.command import benchmark_parser
from benchmarks.shared.setting import paper_bundle
from models.bundle import Bundle
from models.engine import Engine, EngineKind, embed_all, open_engine
from training.data.class_split import Part, read_split
from training.data.loading import load_images
from training.evaluation.episodes import Embedded


def accuracy_parser(name: str, documentation: str, episodes: int) -> argparse.ArgumentParser:
    """Returns a benchmark's parser, with the images, the engine and the episodes."""
    parser = benchmark_parser(name, documentation)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="ZIP", help="CIFAR-100 as class folders")
    parser.add_argument("--split", default="cifar-fs", help="default %(default)s")
    parser.add_argument("--engine", choices=get_args(EngineKind), default="auto", help="default: the one a server would take")
    parser.add_argument("--episodes", type=int, default=episodes, help="episodes of each cell (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the episodes (default %(default)s)")
    return parser


def open_shipped(arguments: argparse.Namespace) -> tuple[Bundle, Engine]:
    """Opens the shipped bundle on its engine."""
    bundle = paper_bundle()
    engine = open_engine(bundle, arguments.engine)
    print(f"{bundle.id} on {engine.kind}, {arguments.episodes} episodes of each cell, seed {arguments.seed}", flush=True)
    return bundle, engine


def embed_part(arguments: argparse.Namespace, bundle: Bundle, engine: Engine, part: Part) -> Embedded:
    """Embeds every image of a part's classes."""
    images = load_images(arguments.data, read_split(arguments.split).classes(part), bundle.manifest.input)
    print(f"embedding {len(images):,} images of {len(images.classes)} {part} classes", file=sys.stderr, flush=True)
    return Embedded(embed_all(engine, images.images), images.indices_by_class())


def interval(values: Sequence[float] | np.ndarray) -> float:
    """Returns half the width of the 95 % interval of a mean."""
    return float(1.96 * np.std(values, ddof=1) / np.sqrt(len(values)))
