"""How good is a bundle on pictures of many kinds? Few-shot accuracy and calibration error, domain by domain.

    python -m benchmarks.domains --data DATA --keep kept --picture docs/domains.png --json domains.json
    python -m benchmarks.domains --data DATA --bundle lite0@1 photos@1 --bundles-dir bundles --keep kept
    python -m benchmarks.domains --data DATA --bundle lite0@1 photos@1 --left-out gtsrb=no-gtsrb@1 flowers=no-flowers@1
    python -m benchmarks.domains --data DATA --laws-left-out --keep kept
    python -m benchmarks.domains --data DATA --bundle bundles/mine/1 --quick

Episodes of each domain's novel classes (of Tiny ImageNet, which has none, its validation classes), through the preprocessing,
engine, features, head defaults and temperatures that serve. Each domain has as many queries per class as its smallest class
affords, 15 at most. The mean is over the six kinds of photograph; drawings and pictures of 32 and 64 pixels are lines of their
own. Several bundles get the same episodes, so that differences from the first are paired. Accuracy and its difference are in
percent ± 1.96·s/√n, and the expected calibration error is in brackets.

With `--left-out`, a further column measures each named domain with a bundle that was made without it. It measures the other
domains, which no bundle has learned from, with the last bundle.

With `--laws-left-out`, a further column measures each domain with the last bundle, but other temperatures. Their law was fitted
on the validation classes of the other domains. So it knows nothing of the domain, nor of the three that have novel classes only.

With `--keep`, an interrupted run continues where it stopped. Embeddings and scores are kept, and made anew when the bundle, the
images or the code that made them changes.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
from matplotlib.figure import Figure

from benchmarks.accuracy.domain_data import DOMAINS, Domain, Embedder, opener
from benchmarks.accuracy.domain_scores import Cell, Figures, Protocol, figures, measure
from benchmarks.accuracy.left_out_laws import LeftOutLaws
from benchmarks.shared.command import benchmark_parser, write_json
from models.bundle import DEFAULT_BUNDLE
from models.engine import EngineKind
from models.manifest import SupportLaw
from training.data.class_split import Part
from training.evaluation.episodes import SHOTS

_WAYS = (5, 20)
_QUICK_EPISODES, _QUICK_PER_CLASS = 400, 60
_LEFT_OUT, _LAWS_LEFT_OUT = "left out", "law left out"


@dataclass(frozen=True)
class Column:
    """A column of the table: a bundle, replaced by another one on some domains."""

    name: str
    usual: Embedder
    instead: Mapping[str, Embedder]
    laws: LeftOutLaws | None = None

    def of(self, domain: str) -> Embedder:
        """Returns the embedder of a domain."""
        return self.instead.get(domain, self.usual)

    def law(self, domain: Domain) -> SupportLaw | None:
        """Returns the temperature law on a domain; None for the bundle's own."""
        return self.laws.without(domain) if self.laws else None


Cells = dict[tuple[str, str, int, int], Cell]
"""By column, domain, ways and shots."""


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _parser().parse_args(argv)
    if arguments.quick:
        arguments.ways, arguments.episodes, arguments.per_class = [5], _QUICK_EPISODES, _QUICK_PER_CLASS
    columns = _columns(arguments)
    protocol = Protocol(arguments.ways, arguments.episodes, arguments.seed, arguments.part)
    cells: Cells = {}
    for domain, column in product(DOMAINS, columns):
        if not arguments.domains or domain.name in arguments.domains:
            for cell in measure(column.of(domain.name), domain, protocol, column.law(domain)):
                cells[column.name, domain.name, cell.ways, cell.shots] = cell
                task = f"{column.name:<28}{cell.ways:>3}-way {cell.shots}-shot"
                print(f"{domain.name:<14}{task}  {_written(figures([cell]))}", flush=True)
    names = [column.name for column in columns]
    engines = ", ".join(f"{column.name} on {column.usual.engine.kind}" for column in columns)
    print(f"\n{engines}; {arguments.episodes} episodes of each cell, seed {arguments.seed}\n\n{_table(cells, names)}", end="")
    write_json(arguments.json, _document(cells, names, arguments))
    if arguments.picture:
        _draw(cells, names, arguments.picture)


def _columns(arguments: argparse.Namespace) -> list[Column]:
    open_ = opener(arguments.data, arguments.bundles_dir, arguments.engine, arguments.keep, arguments.per_class)
    opened = [open_(name) for name in arguments.bundle]
    columns = [Column(embedder.bundle.id, embedder, {}) for embedder in opened]
    if arguments.left_out:
        columns.append(Column(_LEFT_OUT, opened[-1], {domain: open_(name) for domain, name in arguments.left_out}))
    if arguments.laws_left_out:
        columns.append(Column(_LAWS_LEFT_OUT, opened[-1], {}, LeftOutLaws(opened[-1])))
    return columns


def _rows(cells: Cells, names: Sequence[str], ways: int) -> Iterator[tuple[str, dict[tuple[str, int], Figures]]]:
    """Yields each domain with tasks of so many ways: a name, and figures by column and shots. The mean follows the domains
    that count in it.
    """
    domains = [d for d in DOMAINS if (names[0], d.name, ways, SHOTS[0]) in cells]
    counted = [d.name for d in domains if d.in_mean]
    groups = [(d.name, [d.name]) for d in domains]
    if len(counted) > 1:
        groups.insert(len(counted), (f"mean of {len(counted)}", counted))
    for title, group in groups:
        row = {}
        for name, shots in product(names, SHOTS):
            mine, first = ([cells[column, domain, ways, shots] for domain in group] for column in (name, names[0]))
            row[name, shots] = figures(mine, first if name != names[0] else ())
        yield title, row


def _ways(cells: Cells) -> list[int]:
    return sorted({ways for _, _, ways, _ in cells})


def _table(cells: Cells, names: Sequence[str]) -> str:
    """Returns the tables in Markdown, one for each number of ways."""
    tables = []
    for ways in _ways(cells):
        columns = [f"{name}, {shots}-shot" for name, shots in product(names, SHOTS)]
        columns += [f"{name}, {shots}-shot difference" for name, shots in product(names[1:], SHOTS)]
        lines = [f"| {ways}-way | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        for title, row in _rows(cells, names, ways):
            parts = [_written(row[key]) for key in product(names, SHOTS)]
            parts += [_difference(row[key]) for key in product(names[1:], SHOTS)]
            lines.append(f"| {title} | {' | '.join(parts)} |")
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _written(found: Figures) -> str:
    return f"{100 * found.accuracy:.2f} ± {100 * found.ci95:.2f} ({100 * found.ece:.1f})"


def _difference(found: Figures) -> str:
    return f"{100 * found.difference:+.2f} ± {100 * found.difference_ci95:.2f}"


def _document(cells: Cells, names: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the document of `--json`; accuracies are shares of one."""
    rows = [
        {"bundle": name, "domain": title, "ways": ways, "shots": shots, **asdict(found)}
        for ways in _ways(cells)
        for title, row in _rows(cells, names, ways)
        for (name, shots), found in row.items()
    ]
    queries = {cell.domain: cell.queries for cell in cells.values()}
    return {"episodes": arguments.episodes, "seed": arguments.seed, "queries": queries, "rows": rows}


def _draw(cells: Cells, names: Sequence[str], file: Path) -> None:
    """Draws the accuracy of each domain with its interval, a panel for each kind of task. A dotted line marks chance."""
    panels = list(product(_ways(cells), SHOTS))
    figure = Figure(figsize=(11, 0.4 + 2.9 * len(_ways(cells))), layout="constrained")
    for axes, (ways, shots) in zip(figure.subplots(len(_ways(cells)), len(SHOTS), squeeze=False).flat, panels, strict=True):
        rows = list(_rows(cells, names, ways))
        width = 0.8 / len(names)
        for position, name in enumerate(names):
            shown = [row[name, shots] for _, row in rows]
            heights, errors = [100 * s.accuracy for s in shown], [100 * s.ci95 for s in shown]
            places = np.arange(len(rows)) + (position - (len(names) - 1) / 2) * width
            bars = axes.bar(places, heights, width, yerr=errors, color=f"C{position}", label=name, error_kw={"elinewidth": 0.8})
            axes.bar_label(bars, [f"{height:.0f}" for height in heights], fontsize=6, padding=1)
        axes.axhline(100 / ways, color="0.4", linewidth=0.8, linestyle=":")
        axes.set(title=f"{ways}-way {shots}-shot", ylim=(0, 105), ylabel="accuracy %")
        axes.set_xticks(np.arange(len(rows)), [title for title, _ in rows], rotation=25, ha="right", fontsize=8)
        axes.grid(alpha=0.3, axis="y")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(names), fontsize=8)
    figure.savefig(file, dpi=120)


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser("domains", __doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photos/, cifar100/, omniglot/ and splits/")
    text = "NAME@VERSION or a bundle's folder; several are measured side by side (default: what new tasks get)"
    parser.add_argument("--bundle", nargs="+", default=[DEFAULT_BUNDLE], metavar="BUNDLE", help=text)
    parser.add_argument("--bundles-dir", type=Path, metavar="DIR", help="folder of further bundles")
    text = "a bundle made without that domain, for a column of such"
    parser.add_argument("--left-out", nargs="+", type=_left_out, default=[], metavar="DOMAIN=BUNDLE", help=text)
    text = "a column of the last bundle with laws of temperature fitted on the other domains' validation classes"
    parser.add_argument("--laws-left-out", action="store_true", help=text)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep embeddings and scores here for the next run")
    parser.add_argument("--engine", choices=get_args(EngineKind), default="auto", help="default: the one a server would take")
    parser.add_argument("--domains", nargs="+", choices=_NAMES, help="default: all")
    text = "classes to draw from, to choose by validation classes (default: novel ones, or what a domain has instead)"
    parser.add_argument("--part", choices=get_args(Part), help=text)
    parser.add_argument("--ways", type=int, nargs="+", default=list(_WAYS), help="default: 5 20, where there are as many classes")
    parser.add_argument("--episodes", type=int, default=2000, help="episodes of each cell (default %(default)s)")
    parser.add_argument("--per-class", type=int, metavar="N", help="the first N images of each class (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the episodes (default %(default)s)")
    text = f"{_QUICK_EPISODES} episodes of 5 ways on {_QUICK_PER_CLASS} images a class: to judge quickly, not to be quoted"
    parser.add_argument("--quick", action="store_true", help=text)
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="receives the accuracies as bars")
    return parser


_NAMES = [domain.name for domain in DOMAINS]


def _left_out(text: str) -> tuple[str, str]:
    domain, _, bundle = text.partition("=")
    if domain not in _NAMES or not bundle:
        raise argparse.ArgumentTypeError(f"{text} is not DOMAIN=BUNDLE, with a domain of {', '.join(_NAMES)}")
    return domain, bundle


if __name__ == "__main__":
    main()
