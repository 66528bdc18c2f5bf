"""How good is a bundle on pictures of many kinds? Few-shot accuracy and calibration error, domain by domain.

    python -m benchmarks.domains --data DATA --keep kept --picture docs/domains.png --json domains.json
    python -m benchmarks.domains --data DATA --bundle lite0@1 photos@1 --bundles-dir bundles --keep kept
    python -m benchmarks.domains --data DATA --bundle bundles/mine/1 --quick

Episodes of each domain's novel classes (of Tiny ImageNet, which has none, its validation classes), through the preprocessing,
engine, features, head defaults and temperatures that serve. Each domain has as many queries per class as its smallest class
affords, 15 at most. The mean is over the six kinds of photograph; drawings and pictures of 32 and 64 pixels are lines of their
own. Several bundles meet the same episodes, so that differences from the first are paired. Accuracy and its difference in
percent ± 1.96·s/√n, and the expected calibration error in brackets.

With `--keep` a run that was interrupted goes on where it stopped: embeddings and scores are kept, and taken anew when the
bundle, the images or the code that made them is another.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import models
import training
from benchmarks.command import benchmark_parser, write_json
from benchmarks.domain_data import DOMAINS, Domain, Embedder, save
from benchmarks.novel_classes import Embedded, interval
from benchmarks.setting import shipped_bundle
from models.bundle import SHIPPED, Bundle, find_bundles, open_bundle
from models.engine import EngineKind, open_engine
from models.heads import features, softmax
from models.temperature import options_for
from training.class_split import Part
from training.episodes import SHOTS, EpisodeSampler, affordable_queries
from training.evaluate import calibration_error, run_episodes

_WAYS = (5, 20)
_SPEEDUPS = "speedups.json"
_QUICK_EPISODES, _QUICK_PER_CLASS = 400, 60


@dataclass(frozen=True, eq=False)
class Cell:
    """A bundle on one kind of task of one domain.

    Attributes:
        accuracies: (T,) of each episode, a share of one.
        ece: expected calibration error over all queries.
    """

    bundle: str
    domain: str
    ways: int
    shots: int
    queries: int
    accuracies: NDArray[np.float64]
    ece: float


@dataclass(frozen=True)
class Figures:
    """A mean with half its 95 % interval, the calibration error, and the paired difference from the first bundle."""

    accuracy: float
    ci95: float
    ece: float
    difference: float = 0.0
    difference_ci95: float = 0.0


Key = tuple[str, str, int, int]
"""Bundle, domain, ways, shots."""


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _parser().parse_args(argv)
    if arguments.quick:
        arguments.ways, arguments.episodes, arguments.per_class = [5], _QUICK_EPISODES, _QUICK_PER_CLASS
    embedders = [_embedder(path, arguments) for path in _bundle_paths(arguments)]
    domains = [domain for domain in DOMAINS if not arguments.domains or domain.name in arguments.domains]
    cells: dict[Key, Cell] = {}
    for domain, embedder in product(domains, embedders):
        part = arguments.part or domain.part
        if not domain.read_split(arguments.data).classes(part):
            continue
        for cell in _cells(embedder, domain, part, arguments):
            cells[cell.bundle, cell.domain, cell.ways, cell.shots] = cell
            print(
                f"{domain.name:<14}{cell.bundle:<28}{cell.ways:>3}-way {cell.shots}-shot", _written(_figures([cell])), flush=True
            )
    names = [embedder.bundle.id for embedder in embedders]
    for embedder in embedders:
        print(f"\n{embedder.bundle.id} on {embedder.engine.kind}", end="")
    print(f"; {arguments.episodes} episodes of each cell, seed {arguments.seed}\n\n{_table(cells, names)}")
    write_json(arguments.json, _document(cells, names, arguments))
    if arguments.picture:
        _draw(cells, names, arguments.picture)


def _cells(embedder: Embedder, domain: Domain, part: Part, arguments: argparse.Namespace) -> Iterator[Cell]:
    """A cell per ways and shots, of the ways that the domain has classes for."""
    embedded = embedder.embed(domain, part)
    queries = affordable_queries(embedded.by_class, max(SHOTS))
    for ways, shots in product(arguments.ways, SHOTS):
        if ways <= len(embedded.by_class):
            sampler = EpisodeSampler(embedded.by_class, ways, shots, queries, arguments.seed)
            file = embedder.keep and embedder.keep / f"cell-{_cell_key(embedder, domain, part, sampler, arguments.episodes)}.npz"
            yield _kept_cell(file, embedder.bundle, domain, embedded, sampler, arguments.episodes)


def _kept_cell(
    file: Path | None, bundle: Bundle, domain: Domain, embedded: Embedded, sampler: EpisodeSampler, episodes: int
) -> Cell:
    if file is not None and file.exists():
        with np.load(file) as kept:
            accuracies, ece = kept["accuracies"], float(kept["ece"])
    else:
        accuracies, ece = _measure(bundle, embedded, sampler, episodes)
        if file is not None:
            save(file, accuracies=accuracies, ece=np.array(ece))
    return Cell(bundle.id, domain.name, sampler.ways, sampler.shots, sampler.queries, accuracies, ece)


def _measure(bundle: Bundle, embedded: Embedded, sampler: EpisodeSampler, episodes: int) -> tuple[NDArray[np.float64], float]:
    """Accuracy of each episode, and the calibration error of all."""
    options = options_for(bundle.manifest.head, None, [sampler.shots] * sampler.ways)
    space = features(embedded.embeddings, bundle.feature_mean if options.centre else None)
    accuracies, confidences, correct = [], [], []
    for outcomes in run_episodes(space, sampler, episodes, options):
        hits = outcomes.scores.argmax(axis=-1) == outcomes.labels
        accuracies.append(hits.mean(axis=1))
        confidences.append(softmax(outcomes.scores, options.temperature).max(axis=-1).ravel())
        correct.append(hits.ravel())
    return np.concatenate(accuracies), calibration_error(np.concatenate(confidences), np.concatenate(correct))


def _cell_key(embedder: Embedder, domain: Domain, part: Part, sampler: EpisodeSampler, episodes: int) -> str:
    manifest = embedder.bundle.manifest
    head = [manifest.head.model_dump_json(), embedder.bundle.feature_mean.tobytes().hex()]
    task = [str(n) for n in (sampler.ways, sampler.shots, sampler.queries, sampler.seed, episodes)]
    return hashlib.sha256("\n".join([embedder.key(domain, part), *head, *task, _code()]).encode()).hexdigest()[:24]


@cache
def _code() -> str:
    """All that makes scores of embeddings: heads, temperatures, episodes."""
    files = [file for package in (models, training) for file in sorted(Path(package.__path__[0]).glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _figures(cells: Sequence[Cell], beside: Sequence[Cell] = ()) -> Figures:
    """Of one domain, or the mean of several; the episodes of a domain are independent of another's."""
    accuracy, ci95 = _mean([cell.accuracies for cell in cells])
    ece = float(np.mean([cell.ece for cell in cells]))
    pairs = [mine.accuracies - other.accuracies for mine, other in zip(cells, beside, strict=True)] if beside else []
    return Figures(accuracy, ci95, ece, *_mean(pairs)) if pairs else Figures(accuracy, ci95, ece)


def _mean(values: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    half_widths = np.array([interval(of_domain) for of_domain in values])
    return float(np.mean([of_domain.mean() for of_domain in values])), float(np.sqrt(np.sum(half_widths**2)) / len(values))


def _rows(cells: dict[Key, Cell], names: Sequence[str], ways: int) -> Iterator[tuple[str, dict[tuple[str, int], Figures]]]:
    """Every domain with tasks of so many ways, and after those of the mean, the mean: a name, and figures by bundle and shots."""
    domains = [d for d in DOMAINS if (names[0], d.name, ways, SHOTS[0]) in cells]
    counted = [d.name for d in domains if d.in_mean]
    groups = [(d.name, [d.name]) for d in domains]
    if len(counted) > 1:
        groups.insert(len(counted), (f"mean of {len(counted)}", counted))
    for title, group in groups:
        figures = {}
        for name, shots in product(names, SHOTS):
            mine, first = ([cells[bundle, domain, ways, shots] for domain in group] for bundle in (name, names[0]))
            figures[name, shots] = _figures(mine, first if name != names[0] else ())
        yield title, figures


def _table(cells: dict[Key, Cell], names: Sequence[str]) -> str:
    """In Markdown, a table for each number of ways."""
    tables = []
    for ways in sorted({key[2] for key in cells}):
        columns = [f"{name}, {shots}-shot" for name, shots in product(names, SHOTS)]
        columns += [f"{name}, {shots}-shot difference" for name, shots in product(names[1:], SHOTS)]
        lines = ["| ".join([f"| {ways}-way ", *(f"{column} " for column in columns)]) + "|", "|---" * (len(columns) + 1) + "|"]
        for title, row in _rows(cells, names, ways):
            parts = [_written(row[name, shots]) for name, shots in product(names, SHOTS)]
            parts += [
                f"{100 * row[name, shots].difference:+.2f} ± {100 * row[name, shots].difference_ci95:.2f}"
                for name, shots in product(names[1:], SHOTS)
            ]
            lines.append(f"| {title} | " + " | ".join(parts) + " |")
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _written(figures: Figures) -> str:
    return f"{100 * figures.accuracy:.2f} ± {100 * figures.ci95:.2f} ({100 * figures.ece:.1f})"


def _document(cells: dict[Key, Cell], names: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    rows = [
        {"bundle": name, "domain": title, "ways": ways, "shots": shots, **asdict(figures)}
        for ways in sorted({key[2] for key in cells})
        for title, row in _rows(cells, names, ways)
        for (name, shots), figures in row.items()
    ]
    queries = {cell.domain: cell.queries for cell in cells.values()}
    return {"episodes": arguments.episodes, "seed": arguments.seed, "queries": queries, "rows": rows}


def _draw(cells: dict[Key, Cell], names: Sequence[str], file: Path) -> None:
    """Accuracy of each domain with its interval, a panel for each kind of task."""
    panels = list(product(sorted({key[2] for key in cells}), SHOTS))
    figure = Figure(figsize=(11, 2.9 * -(-len(panels) // 2)), layout="constrained")
    for axes, (ways, shots) in zip(figure.subplots(-(-len(panels) // 2), 2, squeeze=False).flat, panels, strict=True):
        rows = list(_rows(cells, names, ways))
        width = 0.8 / len(names)
        for position, name in enumerate(names):
            shown = [row[name, shots] for _, row in rows]
            places = np.arange(len(rows)) + (position - (len(names) - 1) / 2) * width
            heights, errors = (
                [100 * value for value in values] for values in zip(*((s.accuracy, s.ci95) for s in shown), strict=True)
            )
            bars = axes.bar(places, heights, width, yerr=errors, color=f"C{position}", label=name, error_kw={"elinewidth": 0.8})
            axes.bar_label(bars, [f"{height:.0f}" for height in heights], fontsize=6, padding=1)
        axes.axhline(100 / ways, color="0.4", linewidth=0.8, linestyle=":")
        axes.set(title=f"{ways}-way {shots}-shot", ylim=(0, 105), ylabel="accuracy %")
        axes.set_xticks(np.arange(len(rows)), [title for title, _ in rows], rotation=25, ha="right", fontsize=8)
        axes.grid(alpha=0.3, axis="y")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(names), fontsize=8)
    figure.savefig(file, dpi=120)


def _embedder(path: Path | None, arguments: argparse.Namespace) -> Embedder:
    bundle = shipped_bundle() if path is None else open_bundle(path)
    remembered = arguments.keep and arguments.keep / _SPEEDUPS
    engine = open_engine(bundle, arguments.engine, remembered=remembered)
    return Embedder(bundle, engine, bundle.manifest.input, arguments.data, arguments.keep, arguments.per_class)


def _bundle_paths(arguments: argparse.Namespace) -> list[Path | None]:
    """Folders of the bundles, given so or by their ids; None for the shipped one."""
    known = find_bundles(SHIPPED) | (find_bundles(arguments.bundles_dir) if arguments.bundles_dir else {})
    return [known.get(name, Path(name)) for name in arguments.bundle] or [None]


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser("domains", __doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos/, cifar100/, omniglot/ and splits/")
    text = "NAME@VERSION or a bundle's folder; several are measured side by side (default: the shipped one)"
    parser.add_argument("--bundle", nargs="+", default=[], metavar="BUNDLE", help=text)
    parser.add_argument("--bundles-dir", type=Path, metavar="DIR", help="where further bundles are")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keeps embeddings and scores for the next run")
    parser.add_argument("--engine", choices=get_args(EngineKind), default="auto", help="default: what the server would take")
    parser.add_argument("--domains", nargs="+", choices=[domain.name for domain in DOMAINS], help="default: all")
    text = "classes to draw from, to choose by validation classes (default: novel ones, or what a domain has instead)"
    parser.add_argument("--part", choices=get_args(Part), help=text)
    parser.add_argument("--ways", type=int, nargs="+", default=list(_WAYS), help="default: 5 20, where there are as many classes")
    parser.add_argument("--episodes", type=int, default=2000, help="of each cell (default %(default)s)")
    parser.add_argument("--per-class", type=int, metavar="N", help="the first N images of each class (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the episodes (default %(default)s)")
    text = f"{_QUICK_EPISODES} episodes of 5 ways on {_QUICK_PER_CLASS} images a class: to judge quickly, not to be quoted"
    parser.add_argument("--quick", action="store_true", help=text)
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="receives the accuracies as bars")
    return parser


if __name__ == "__main__":
    main()
