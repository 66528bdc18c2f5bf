"""The shared arguments of the benchmarks that have rows for each domain, and the domains' classes."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from benchmarks.accuracy.domain_data import DOMAINS, Domain, Embedder, opener
from benchmarks.shared.command import benchmark_parser
from models.bundle import DEFAULT_BUNDLE
from models.engine import EngineKind
from training.data.class_split import Part
from training.evaluation.episodes import Embedded


def domain_parser(name: str, documentation: str, episodes: int) -> argparse.ArgumentParser:
    """Returns the parser of a benchmark that has rows for each domain."""
    names = [domain.name for domain in DOMAINS]
    parser = benchmark_parser(name, documentation)
    text = "a folder that holds photos/, splits/, cifar100/ and omniglot/"
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=text)
    text = "an id, or a bundle's folder (default: the bundle that new tasks get)"
    parser.add_argument("--bundle", default=DEFAULT_BUNDLE, help=text)
    parser.add_argument("--bundles-dir", type=Path, metavar="DIR", help="folder of further bundles")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep embeddings here for the next run")
    parser.add_argument("--engine", choices=get_args(EngineKind), default="auto", help="default: the one a server would take")
    parser.add_argument("--domains", nargs="+", choices=names, default=names, help="default: all")
    text = "classes to draw from, to choose by validation classes (default: novel ones, or what a domain has instead)"
    parser.add_argument("--part", choices=get_args(Part), help=text)
    parser.add_argument("--episodes", type=int, default=episodes, help="episodes of each cell (default %(default)s)")
    parser.add_argument("--per-class", type=int, metavar="N", help="the first N images of each class (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the episodes (default %(default)s)")
    return parser


def open_embedder(arguments: argparse.Namespace) -> Embedder:
    """Returns the measured bundle on its engine."""
    open_ = opener(arguments.data, arguments.bundles_dir, arguments.engine, arguments.keep, arguments.per_class)
    embedder = open_(arguments.bundle)
    kind = embedder.engine.kind
    print(f"{embedder.bundle.id} on {kind}, {arguments.episodes} episodes of each cell, seed {arguments.seed}", flush=True)
    return embedder


def parts(arguments: argparse.Namespace) -> Iterator[tuple[Domain, Part]]:
    """The domains asked for that have such classes, and which ones are drawn from."""
    for domain in DOMAINS:
        part = arguments.part or domain.part
        if domain.name in arguments.domains and domain.read_split(arguments.data).classes(part):
            yield domain, part


def embedded_domains(arguments: argparse.Namespace, embedder: Embedder, least: int) -> Iterator[tuple[Domain, Embedded]]:
    """Those, with the embeddings of the classes that have at least so many images."""
    for domain, part in parts(arguments):
        embedded = embedder.embed(domain, part)
        yield domain, Embedded(embedded.embeddings, [images for images in embedded.by_class if len(images) >= least])
