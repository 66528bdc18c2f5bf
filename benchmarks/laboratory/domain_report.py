"""The report of `transfer` and `shift`: JSON for programs, a table and a plot for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.writing import replace_text

_MEAN = "mean"


@dataclass
class Results:
    """Accuracies on episodes: by method, kind of photograph and condition (shots, or the shift).

    Attributes:
        reference: the method that the others are held against.
        chosen: the hyper-parameters of a method under a condition.
    """

    experiment: str
    protocol: Mapping[str, str | int | float]
    reference: str
    accuracies: dict[str, dict[str, dict[str, Sequence[float]]]] = field(default_factory=dict)
    chosen: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, method: str, domain: str, condition: str, values: Sequence[float], chosen: str) -> None:
        """Takes the accuracies on the episodes of one cell."""
        self.accuracies.setdefault(method, {}).setdefault(domain, {})[condition] = values
        self.chosen.setdefault(method, {})[condition] = chosen

    def cell(self, method: str, domain: str, condition: str) -> tuple[float, float] | None:
        """Returns the mean and the half-width of its 95 % interval, shares of one; for `mean`, over the domains.

        The mean counts only where every domain that any method was measured on is there.
        """
        if domain != _MEAN:
            values = self.accuracies[method].get(domain, {}).get(condition)
            return None if values is None else _interval(values)
        return _over_domains([self.cell(method, name, condition) for name in self.domains(condition)])

    def gain(self, method: str, condition: str) -> tuple[float, float] | None:
        """Returns the mean over the domains of how far a method is above the reference on the same episodes, and its interval.

        None where either lacks a domain that any method was measured on.
        """
        return _over_domains([self._gain(method, domain, condition) for domain in self.domains(condition)])

    def _gain(self, method: str, domain: str, condition: str) -> tuple[float, float] | None:
        ours, theirs = (self.accuracies.get(name, {}).get(domain, {}).get(condition) for name in (method, self.reference))
        return None if ours is None or theirs is None else _interval([a - b for a, b in zip(ours, theirs, strict=True)])

    def domains(self, condition: str | None = None) -> list[str]:
        """Returns the kinds of photographs that any method was measured on, under a condition or at all."""
        found = (
            domain
            for by_domain in self.accuracies.values()
            for domain, by_condition in by_domain.items()
            if condition is None or condition in by_condition
        )
        return list(dict.fromkeys(found))


def _interval(values: Sequence[float]) -> tuple[float, float]:
    margin = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return float(np.mean(values)), float(margin)


def _over_domains(cells: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    """Returns the mean of one cell for each domain and its interval over episodes; None where one is missing."""
    known = [cell for cell in cells if cell is not None]
    if not known or len(known) < len(cells):
        return None
    means, margins = np.array(known).T
    return float(means.mean()), float(np.sqrt(np.square(margins).sum()) / len(known))


def write(folder: Path, results: Results, conditions: Sequence[str]) -> None:
    """Writes results.jsonl, table.md and a plot named after the experiment."""
    lines = [json.dumps(_line(results, method, conditions)) for method in results.accuracies]
    replace_text(folder / "results.jsonl", "".join(f"{line}\n" for line in lines))
    replace_text(folder / "table.md", _table(results, conditions) + "\n")
    _draw(folder / f"{results.experiment}.png", results, conditions)


def _line(results: Results, method: str, conditions: Sequence[str]) -> dict[str, object]:
    cells = {
        domain: {condition: cell for condition in conditions if (cell := results.cell(method, domain, condition)) is not None}
        for domain in (*results.domains(), _MEAN)
    }
    gains = {condition: gain for condition in conditions if (gain := results.gain(method, condition)) is not None}
    return {
        "experiment": results.experiment,
        "method": method,
        "chosen": results.chosen[method],
        "accuracy": cells,
        "gain": gains,
    }


def _table(results: Results, conditions: Sequence[str]) -> str:
    """Returns the table in Markdown, a row per kind of photograph and method, then gains, and what was chosen."""
    header = f"| photographs | method | {' | '.join(conditions)} |"
    rows = [
        f"| {domain} | {method} | {' | '.join(_percent(results.cell(method, domain, c)) for c in conditions)} |"
        for domain in (*results.domains(), _MEAN)
        for method in results.accuracies
    ]
    above = f"above {results.reference}, points"
    rows += [
        f"| {above} | {method} | {' | '.join(_percent(results.gain(method, c), '+') for c in conditions)} |"
        for method in results.accuracies
        if method != results.reference
    ]
    chosen = [
        f"- {method}: {'; '.join(f'{condition}: {name}' for condition, name in by_condition.items() if name)}"
        for method, by_condition in results.chosen.items()
        if any(by_condition.values())
    ]
    settings = ", ".join(f"{key} {value}" for key, value in results.protocol.items())
    return "\n".join((settings, "", header, "|---" * (header.count("|") - 1) + "|", *rows, "", "Chosen:", "", *chosen))


def _percent(cell: tuple[float, float] | None, sign: str = "") -> str:
    return "" if cell is None else f"{100 * cell[0]:{sign}.1f} ± {100 * cell[1]:.1f}"


def _draw(path: Path, results: Results, conditions: Sequence[str]) -> None:
    """Draws the mean over the kinds of photographs that have every condition."""
    shown = [c for c in conditions if any(results.cell(method, _MEAN, c) for method in results.accuracies)]
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for method in results.accuracies:
        cells = [(position, cell) for position, c in enumerate(shown) if (cell := results.cell(method, _MEAN, c)) is not None]
        places = [position for position, _ in cells]
        means, margins = (np.array([cell[i] for _, cell in cells]) * 100 for i in (0, 1))
        axes.errorbar(places, means, margins, marker="o", capsize=3, label=method)
    axes.set_xticks(range(len(shown)), shown)
    axes.set(ylabel="accuracy (%)", title=f"{results.experiment}: mean over the photographs")
    axes.grid(alpha=0.3)
    if results.accuracies:
        axes.legend()
    figure.savefig(path, dpi=120)
