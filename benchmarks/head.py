"""How fast is the last layer? Fitted beside scikit-learn, fitted by the thousand, and applied for many tasks at once.

    python -m benchmarks.head --json head.json

Everything on one core. The embeddings are made up: Gaussian classes of 640 numbers, about as separable as those of a trained
backbone. scikit-learn's tolerance is tightened until its probabilities on fresh queries are within 1e-4 of the optimum's, which
is where ours are; the faster of its solvers counts. Contestants take turns; ratios are medians over the rounds.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from benchmarks.turns import Ratio, race
from models.fitting import fit
from models.heads import Float32, features, softmax
from models.manifest import HeadOptions

_DIM, _SPREAD, _QUERIES = 640, 3.0, 15
_OPTIONS = HeadOptions(C=3.0, temperature=1.0, centre=False)
_EQUAL = 1e-4  # in probability
_SOLVERS = ("lbfgs", "newton-cg")
_OURS, _STACKED, _SINGLE = "ours", "stacked", "one at a time"
_TASKS = 1000
_IMAGES = 64

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """One way and shot.

    Attributes:
        milliseconds: of our fit, the median over the rounds.
        error: the largest difference of our probabilities from the optimum's.
        solver, tolerance: scikit-learn's fastest that reach the optimum as closely.
        ratio: how many times as fast ours is.
    """

    ways: int
    shots: int
    milliseconds: float
    error: float
    solver: str
    tolerance: float
    ratio: Ratio


@dataclass(frozen=True)
class Apply:
    """Images of that many tasks in one batch.

    Attributes:
        milliseconds: per way of applying the heads, for the whole batch.
    """

    ways: int
    tasks: int
    milliseconds: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head", description=__doc__.splitlines()[0])
    parser.add_argument("--ways", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also writes the figures there")
    arguments = parser.parse_args()
    with threadpool_limits(1):
        fits = _fits(arguments.ways, arguments.shots)
        stacks = _stacks(arguments.ways[:1], arguments.shots)
        applied = _applied(arguments.ways)
    if arguments.json:
        document = {"fits": [asdict(f) for f in fits], "stacks": stacks, "applied": [asdict(a) for a in applied]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def _fits(ways: list[int], shots: list[int]) -> list[Fit]:
    print("one fit, on one core; scikit-learn at equal optimum")
    print(f"{'ways':>5}{'shots':>7}{'ours, ms':>10}{'error':>10}{'times as fast':>15}  (least, most)   scikit-learn's")
    found = []
    for way, shot in product(ways, shots):
        cell = _fit(way, shot)
        found.append(cell)
        spread = f"({cell.ratio.least:.1f}, {cell.ratio.most:.1f})"
        print(
            f"{way:>5}{shot:>7}{cell.milliseconds:>10.2f}{cell.error:>10.0e}{cell.ratio.median:>15.1f}  {spread:<16}"
            f"{cell.solver}, tolerance {cell.tolerance:.0e}",
            flush=True,
        )
    return found


def _fit(ways: int, shots: int) -> Fit:
    support, labels = _episode(ways, shots, seed=1)
    queries, _ = _episode(ways, _QUERIES, seed=2)
    optimum = _scikit_learn(support, labels, "lbfgs", 1e-11).predict_proba(queries)
    linear = fit(support, labels, ways, _OPTIONS)
    error = float(np.abs(softmax(queries @ linear.weight.T + linear.bias, 1.0) - optimum).max())
    tolerances = {solver: _equal_tolerance(support, labels, queries, optimum, solver) for solver in _SOLVERS}

    def ours(count: int) -> None:
        for _ in range(count):
            fit(support, labels, ways, _OPTIONS)

    def theirs(solver: str, count: int) -> None:
        for _ in range(count):
            _scikit_learn(support, labels, solver, tolerances[solver])

    rates = race({_OURS: ours, **{solver: partial(theirs, solver) for solver in _SOLVERS}})
    best = max(_SOLVERS, key=rates.median)
    return Fit(ways, shots, 1e3 / rates.median(_OURS), error, best, tolerances[best], rates.ratio(_OURS, best))


def _scikit_learn(support: Float32, labels: Labels, solver: str, tolerance: float) -> LogisticRegression:
    return LogisticRegression(C=_OPTIONS.C, solver=solver, tol=tolerance, max_iter=100_000).fit(support, labels)


def _equal_tolerance(support: Float32, labels: Labels, queries: Float32, optimum: NDArray[np.float64], solver: str) -> float:
    """The loosest power of ten at which scikit-learn's probabilities are as near the optimum as ours must be."""
    tolerance = 1e-2
    while np.abs(_scikit_learn(support, labels, solver, tolerance).predict_proba(queries) - optimum).max() > _EQUAL:
        tolerance /= 10
    return tolerance


def _stacks(ways: list[int], shots: list[int]) -> list[dict[str, object]]:
    print(f"\n{_TASKS:,} fits in one stack beside one at a time, on one core")
    print(f"{'ways':>5}{'shots':>7}{'stacked, fits/s':>17}{'times as fast':>15}  (least, most)")
    found: list[dict[str, object]] = []
    for way, shot in product(ways, shots):
        episodes = [_episode(way, shot, seed) for seed in range(_TASKS)]
        support, labels = np.stack([x for x, _ in episodes]), np.stack([y for _, y in episodes])

        def stacked(count: int, x: Float32 = support, y: Labels = labels, ways: int = way) -> None:
            for _ in range(count):
                fit(x, y, ways, _OPTIONS)

        def single(count: int, x: Float32 = support, y: Labels = labels, ways: int = way) -> None:
            for _ in range(count):
                for task in range(_TASKS):
                    fit(x[task], y[task], ways, _OPTIONS)

        rates = race({_STACKED: stacked, _SINGLE: single})
        ratio = rates.ratio(_STACKED, _SINGLE)
        per_second = _TASKS * rates.median(_STACKED)
        found.append({"ways": way, "shots": shot, "per_second": per_second, "ratio": asdict(ratio)})
        print(f"{way:>5}{shot:>7}{per_second:>17,.0f}{ratio.median:>15.1f}  ({ratio.least:.1f}, {ratio.most:.1f})", flush=True)
    return found


def _applied(ways: list[int]) -> list[Apply]:
    print(f"\nheads applied to {_IMAGES} images of several tasks, ms for all")
    print(f"{'ways':>5}{'tasks':>7}{'gathered':>10}{'grouped':>10}")
    found = []
    for way, tasks in product(ways, (1, 8, _IMAGES)):
        rng = np.random.default_rng(3)
        weights = [rng.normal(size=(way, _DIM)).astype(np.float32) for _ in range(tasks)]
        queries = rng.normal(size=(_IMAGES, _DIM)).astype(np.float32)
        of = rng.permutation(np.arange(_IMAGES) % tasks)

        def gathered(count: int, w: list[Float32] = weights, x: Float32 = queries, of: Labels = of) -> None:
            for _ in range(count):
                np.stack([w[task] for task in of]) @ x[:, :, None]

        def grouped(count: int, w: list[Float32] = weights, x: Float32 = queries, of: Labels = of) -> None:
            for _ in range(count):
                for task, weight in enumerate(w):
                    x[of == task] @ weight.T

        rates = race({"gathered": gathered, "grouped": grouped})
        cell = Apply(way, tasks, {name: 1e3 / rates.median(name) for name in rates.rounds})
        found.append(cell)
        print(f"{way:>5}{tasks:>7}{cell.milliseconds['gathered']:>10.2f}{cell.milliseconds['grouped']:>10.2f}")
    return found


def _episode(ways: int, shots: int, seed: int) -> tuple[Float32, Labels]:
    """Features of norm one (ways · shots, D) and their labels; classes are the same whatever the seed."""
    centres = np.repeat(np.random.default_rng(0).normal(size=(ways, _DIM)), shots, axis=0)
    noise = np.random.default_rng((seed, ways, shots)).normal(size=centres.shape)
    x: Float32 = features((centres + _SPREAD * noise).astype(np.float32), None)
    return x, np.repeat(np.arange(ways), shots)


if __name__ == "__main__":
    main()
