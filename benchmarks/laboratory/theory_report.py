"""The report of `benchmarks.laboratory theory`: JSON for programs, a table and a plot for people."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import nnls

from training.writing import replace_text

Distances = Mapping[tuple[int, float], Sequence[float]]


def fitted(distances: Distances) -> tuple[float, float]:
    """Returns a and b, not negative, for which (a λτ + b / L) / distance is nearest to 1, in the least squares of all cells."""
    means = np.array([np.mean(values) for values in distances.values()])
    terms = np.array([(reach, 1.0 / depth) for depth, reach in distances])
    (a, b), _ = nnls(terms / means[:, None], np.ones(len(means)))
    return float(a), float(b)


def write(folder: Path, protocol: Mapping[str, str | int | float], distances: Distances) -> None:
    """Writes results.jsonl, a line per depth and λτ, table.md and theory.png."""
    a, b = fitted(distances) if distances else (0.0, 0.0)
    lines = [
        json.dumps({"experiment": "theory", "depth": depth, "reach": reach, "distances": list(values), "a": a, "b": b})
        for (depth, reach), values in distances.items()
    ]
    replace_text(folder / "results.jsonl", "".join(f"{line}\n" for line in lines))
    replace_text(folder / "table.md", _table(protocol, distances, a, b) + "\n")
    _draw(folder / "theory.png", distances, a, b)


def _table(protocol: Mapping[str, str | int | float], distances: Distances, a: float, b: float) -> str:
    """Returns the table in Markdown: a row per depth, a column per λτ, each distance with the fitted one in brackets."""
    reaches = sorted({reach for _, reach in distances})
    rows = [
        f"| {depth} | "
        + " | ".join(
            f"{np.mean(distances[depth, reach]):.3f} ({a * reach + b / depth:.3f})" if (depth, reach) in distances else ""
            for reach in reaches
        )
        + " |"
        for depth in sorted({depth for depth, _ in distances})
    ]
    header = f"| depth L | {' | '.join(f'λτ = {reach:g}' for reach in reaches)} |"
    settings = ", ".join(f"{key} {value}" for key, value in protocol.items())
    fit = f"In brackets: {a:.3f} λτ + {b:.3f} / L."
    return "\n".join((settings, "", header, "|---" * (len(reaches) + 1) + "|", *rows, "", fit))


def _draw(path: Path, distances: Distances, a: float, b: float) -> None:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for reach in sorted({reach for _, reach in distances}):
        depths = sorted(depth for depth, other in distances if other == reach)
        means = [np.mean(distances[depth, reach]) for depth in depths]
        (line,) = axes.plot(depths, means, marker="o", label=f"λτ = {reach:g}")
        axes.plot(depths, [a * reach + b / depth for depth in depths], linestyle=":", color=line.get_color())
    axes.set(
        xscale="log", yscale="log", xlabel="depth L", ylabel="distance of predictions", title="ANIL and MTL; dotted: a λτ + b / L"
    )
    axes.grid(alpha=0.3, which="both")
    if distances:
        axes.legend()
    figure.savefig(path, dpi=120)
