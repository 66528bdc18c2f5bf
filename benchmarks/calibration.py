"""Do probabilities mean what they say? Calibration error with one temperature, and with one that follows the support set.

    python -m benchmarks.calibration --data part0.zip part1.zip part2.zip --picture docs/calibration.png --json calibration.json

Episodes of novel classes, 15 queries per class; the temperatures are those of the shipped bundle's manifest, fitted on validation
classes. Before: the options' one temperature, chosen at 5-way 1- and 5-shot. Percent: the expected calibration error over 15
bins, and how much higher the confidence is than the accuracy. Unequal shots are drawn for each class, log-uniformly from 1 to 20.
Tasks of more than a hundred examples are left out, since they would take longer than all others.
"""

from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.accuracy.novel_classes import accuracy_parser, embed_part, open_shipped
from benchmarks.shared.command import write_json
from models.bundle import Bundle
from models.heads.fitting import expected_by_share, fit
from models.heads.head import features, softmax
from models.heads.temperature import law_of, options_for
from models.manifest import Solver
from training.evaluation.episodes import Embedded, EpisodeSampler
from training.evaluation.evaluate import CALIBRATION_BINS, calibration_error, run_episodes

_WAYS, _SHOTS, _QUERIES = (2, 5, 10, 20), (1, 2, 5, 10, 20), 15
_MOST_SHOTS, _MOST_EXAMPLES = 20, 100
_DRAWN = ((5, 1), (5, 5), (20, 1), (20, 5))

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """Confidences (N,) under both temperatures, and whether the predictions, which are the same under both, were right."""

    before: Values
    after: Values
    correct: NDArray[np.bool_]


@dataclass(frozen=True)
class Cell:
    """One kind of task: calibration error and excess confidence before and after, shares of one; `shots` is None where they
    are unequal.
    """

    solver: Solver
    ways: int
    shots: int | None
    accuracy: float
    ece_before: float
    ece_after: float
    excess_before: float
    excess_after: float


def main() -> None:
    parser = accuracy_parser("calibration", __doc__, episodes=2000)
    parser.add_argument("--solvers", nargs="+", choices=get_args(Solver), default=list(get_args(Solver)), help="default: all")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="receives the default solver's reliability diagrams")
    arguments = parser.parse_args()
    bundle, engine = open_shipped(arguments)
    novel = embed_part(arguments, bundle, engine, "test")
    print(f"{'solver':<11}{'ways':>5}{'shots':>9}{'accuracy':>10}{'ECE before':>12}{'after':>8}{'excess before':>15}{'after':>8}")
    cells, drawn = [], {}
    for solver, ways, shots in product(arguments.solvers, _WAYS, (*_SHOTS, None)):
        if ways * (shots or _MOST_SHOTS) > _MOST_EXAMPLES:
            continue
        answered = _unequal if shots is None else _equal
        answers = answered(bundle, novel, solver, ways, shots or _MOST_SHOTS, arguments.episodes, arguments.seed)
        if solver == bundle.manifest.head.solver and (ways, shots) in _DRAWN:
            drawn[f"{ways}-way {shots}-shot"] = answers
        cell = _cell(solver, ways, shots, answers)
        cells.append(cell)
        print(
            f"{solver:<11}{ways:>5}{shots or '1 to 20':>9}{100 * cell.accuracy:>10.2f}{100 * cell.ece_before:>12.1f}"
            f"{100 * cell.ece_after:>8.1f}{100 * cell.excess_before:>+15.1f}{100 * cell.excess_after:>+8.1f}",
            flush=True,
        )
    write_json(arguments.json, {"bundle": bundle.id, "engine": engine.kind, "cells": [asdict(cell) for cell in cells]})
    if arguments.picture:
        _draw(drawn, arguments.picture)


def _cell(solver: Solver, ways: int, shots: int | None, answers: Answers) -> Cell:
    accuracy = float(answers.correct.mean())
    return Cell(
        solver,
        ways,
        shots,
        accuracy,
        calibration_error(answers.before, answers.correct),
        calibration_error(answers.after, answers.correct),
        float(answers.before.mean()) - accuracy,
        float(answers.after.mean()) - accuracy,
    )


def _equal(bundle: Bundle, novel: Embedded, solver: Solver, ways: int, shots: int, episodes: int, seed: int) -> Answers:
    options = bundle.manifest.head.options(solver)
    sampler = EpisodeSampler(novel.by_class, ways, shots, _QUERIES, seed)
    space = features(novel.embeddings, bundle.feature_mean if options.centre else None)
    stacks = run_episodes(space, sampler, episodes, options, law_of(bundle.manifest.head, solver))
    return _joined([_answers(found.scores, found.labels, options.temperature, found.temperatures) for found in stacks])


def _unequal(bundle: Bundle, novel: Embedded, solver: Solver, ways: int, shots: int, episodes: int, seed: int) -> Answers:
    """Answers episodes in which each class has its own number of shots, up to `shots`."""
    options = bundle.manifest.head.options(solver)
    sampler = EpisodeSampler(novel.by_class, ways, shots, _QUERIES, seed)
    space = features(novel.embeddings, bundle.feature_mean if options.centre else None)
    parts = []
    for index in range(max(1, episodes // 4)):
        episode = sampler.episode(index)
        rng = np.random.default_rng((seed, ways, index))
        counts = np.exp(rng.uniform(0, np.log(shots + 1), ways)).astype(int)
        support = np.concatenate([images[:count] for images, count in zip(episode.support, counts, strict=True)])
        classes = np.repeat(np.arange(ways), counts)
        linear = fit(space[support], classes, ways, options)
        scores = space[episode.query.ravel()] @ linear.weight.T + linear.bias
        if solver == "logistic":  # as `fit_head` has it
            scores = scores - expected_by_share(counts)
        after = options_for(bundle.manifest.head, solver, novel.embeddings[support], classes, bundle.feature_mean)
        parts.append(_answers(scores, np.repeat(np.arange(ways), _QUERIES), options.temperature, after.temperature))
    return _joined(parts)


def _answers(scores: NDArray[np.floating], labels: NDArray[np.int64], before: float, after: float | Values) -> Answers:
    def confidence(temperature: float | Values) -> Values:
        highest: Values = softmax(scores, temperature).max(axis=-1).ravel()
        return highest

    return Answers(confidence(before), confidence(after), (scores.argmax(axis=-1) == labels).ravel())


def _joined(parts: list[Answers]) -> Answers:
    return Answers(
        np.concatenate([part.before for part in parts]),
        np.concatenate([part.after for part in parts]),
        np.concatenate([part.correct for part in parts]),
    )


def _draw(drawn: dict[str, Answers], file: Path) -> None:
    """Reliability diagrams (DeGroot & Fienberg, 1983): accuracy of each bin of confidence, its answers shown as area."""
    figure = Figure(figsize=(3.2 * len(drawn), 3.6), layout="constrained")
    for axes, (title, answers) in zip(figure.subplots(1, len(drawn), sharey=True), drawn.items(), strict=True):
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        for name, confidence, colour in (("one temperature", answers.before, "C1"), ("by the support set", answers.after, "C0")):
            bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
            count = np.bincount(bins, minlength=CALIBRATION_BINS)
            held = count > 0.001 * len(bins)
            means = [np.bincount(bins, of, CALIBRATION_BINS)[held] / count[held] for of in (confidence, answers.correct)]
            error = calibration_error(confidence, answers.correct)
            axes.plot(*means, color=colour, linewidth=1, label=f"{name}: {100 * error:.1f} %")
            axes.scatter(*means, s=300 * count[held] / len(bins) + 4, color=colour, alpha=0.7)
        axes.set(title=title, xlabel="probability of the answer", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.grid(alpha=0.3)
        axes.legend(title="calibration error", loc="upper left", fontsize=7, title_fontsize=7)
    figure.axes[0].set_ylabel("share of right answers")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
