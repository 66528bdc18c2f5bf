"""Confusion between classes over all episodes: counted, ordered and drawn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.arrays import Floats, Ints

_ANNOTATED = 30  # Above so many classes the numbers in the cells could not be read.


class Confusion:
    """Counts of predictions, class by class.

    Attributes:
        called: (M, M); [i, j] counts queries of class i that were called j.
        could: (M, M); [i, j] counts queries of class i in episodes with class j, which could have been called j.
    """

    def __init__(self, classes: int) -> None:
        self.called = np.zeros((classes, classes), dtype=np.int64)
        self.could = np.zeros((classes, classes), dtype=np.int64)

    def add(self, classes: Ints, predicted: Ints, labels: Ints) -> None:
        """Counts T episodes.

        Args:
            classes: (T, K) the classes behind the labels 0 … K-1 of each episode.
            predicted: (T, Q) the queries' predicted labels.
            labels: (T, Q) their true labels.
        """
        truth_TQ = np.take_along_axis(classes, labels, axis=1)
        np.add.at(self.called, (truth_TQ, np.take_along_axis(classes, predicted, axis=1)), 1)
        np.add.at(self.could, (truth_TQ[:, :, None], classes[:, None, :]), 1)

    def rates(self) -> Floats:
        """Returns the rates (M, M) at which queries of class i are called j when both are in the episode; NaN for two that
        never met.
        """
        return np.where(self.could > 0, self.called / np.maximum(self.could, 1), np.nan)

    def most_confused(self, count: int) -> list[tuple[int, int, float]]:
        """Returns pairs of classes (i, j) and the mean rate at which either is called the other, largest first."""
        mutual = _mutual(self.rates())
        first, second = np.triu_indices(len(mutual), k=1)
        order = np.argsort(-mutual[first, second], kind="stable")[:count]
        return [(int(first[p]), int(second[p]), float(mutual[first[p], second[p]])) for p in order]


def neighbours_order(rates: Floats) -> list[int]:
    """Returns the classes in an order that puts confused ones side by side.

    Method: average linkage, with each merge joined at the ends that match best.

    Args:
        rates: (M, M), as `Confusion.rates` gives them.
    """
    likeness = _mutual(rates)
    between = likeness.copy()  # Mean likeness of two groups; a group is at the index of its first class.
    np.fill_diagonal(between, -1.0)
    groups = {k: [k] for k in range(len(rates))}
    while len(groups) > 1:
        a, b = sorted(int(k) for k in np.unravel_index(between.argmax(), between.shape))
        left, right = groups[a], groups.pop(b)
        joins = [(x, y) for x in (left, left[::-1]) for y in (right, right[::-1])]
        groups[a] = [k for half in max(joins, key=lambda join: likeness[join[0][-1], join[1][0]]) for k in half]
        share = len(left) / (len(left) + len(right))
        between[a] = between[:, a] = np.where(between[a] < 0, -1.0, share * between[a] + (1.0 - share) * between[b])
        between[b] = between[:, b] = -1.0
    return next(iter(groups.values()))


def draw(confusion: Confusion, names: Sequence[str], title: str, path: Path) -> None:
    """Draws a map of the rates between classes, with bars for how often each class is recognised. On the map these would hide
    the rest.
    """
    rates = confusion.rates()
    order = neighbours_order(rates)
    percent = 100.0 * rates[np.ix_(order, order)]
    labels = [names[k].replace("_", " ") for k in order]
    side = min(4.0 + 0.32 * len(labels), 22.0)
    figure = Figure(figsize=(side + 1.0, side), layout="compressed")
    grid, bars = figure.subplots(1, 2, sharey=True, width_ratios=[side, 1.5])
    _draw_map(figure, grid, percent)
    _draw_bars(bars, np.diagonal(percent))
    size = float(np.clip(800.0 / len(labels), 5.0, 10.0))
    grid.set_xticks(range(len(labels)), labels, rotation=90, fontsize=size)
    grid.set_yticks(range(len(labels)), labels, fontsize=size)
    grid.set(xlabel="called", ylabel="class of the query")
    figure.suptitle(title)
    figure.savefig(path, dpi=120, format="png")


def _draw_map(figure: Figure, axes: Axes, percent: Floats) -> None:
    between = np.where(np.eye(len(percent), dtype=bool), np.nan, percent)
    top = max(1.0, float(np.nan_to_num(between).max()))
    axes.set_facecolor("0.88")  # shows where there is no rate: on the diagonal, and for classes that never met
    image = axes.imshow(between, cmap="OrRd", vmin=0.0, vmax=top, interpolation="nearest")
    label = "called so when both are in the episode (%)"
    figure.colorbar(image, ax=axes, location="top", shrink=0.6, aspect=40, pad=0.01, label=label)
    if len(percent) > _ANNOTATED:
        return
    for row, column in np.argwhere(np.nan_to_num(between) >= 0.5):
        rate = between[row, column]
        axes.text(column, row, f"{rate:.0f}", ha="center", va="center", fontsize=8, color="white" if 2 * rate > top else "black")


def _draw_bars(axes: Axes, recognised: Floats) -> None:
    bars = axes.barh(range(len(recognised)), np.nan_to_num(recognised), height=0.8)
    axes.set(xlim=(0, 100), xlabel="recognised (%)")
    axes.tick_params(left=False, labelleft=False)
    axes.spines[["top", "right"]].set_visible(False)
    if len(recognised) <= _ANNOTATED:
        axes.bar_label(bars, fmt="%.0f", padding=-18, fontsize=8, color="white")


def _mutual(rates: Floats) -> Floats:
    """Returns the mean of both directions, (M, M); 0 for classes that never met."""
    known = np.nan_to_num(rates)
    return (known + known.T) / 2.0
