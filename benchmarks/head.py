"""How fast is the last layer? Fitted beside scikit-learn, fitted by the thousand, and applied for many tasks at once.

    python -m benchmarks.head --json head.json

Everything on one core. The embeddings are made up: Gaussian classes of 640 numbers, about as separable as those of a trained
backbone. scikit-learn's tolerance is tightened until its probabilities on fresh queries are within 1e-4 of the optimum's. It
runs in whichever precision gets there sooner. Ours are never further from the optimum. Contestants take turns; ratios are
medians over the rounds, with the least and the most.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from benchmarks.shared.command import benchmark_parser, write_json
from benchmarks.shared.turns import Contestant, Rates, Ratio, race, repeat
from models.heads.fitting import fit
from models.heads.head import Float32, features, softmax
from models.manifest import HeadOptions

DIM = 640
_SPREAD, _QUERIES = 3.0, 15
OPTIONS = HeadOptions(C=3.0, temperature=1.0, centre=False)
_EQUAL = 1e-4  # in probability
_TOLERANCES = tuple(10.0**exponent for exponent in range(-2, -9, -1))
_PRECISIONS = ("float32", "float64")
_OURS, _STACKED, _SINGLE = "ours", "stacked", "one at a time"
_TASKS = 1000
_IMAGES = 64

Labels = NDArray[np.int64]
Race = Callable[[Mapping[str, Contestant]], Rates]


@dataclass(frozen=True)
class Fit:
    """Results for one way and shot.

    Attributes:
        milliseconds: of our fit, the median over the rounds.
        error: the largest difference of our probabilities from the optimum's.
        precision, tolerance: the setting in which scikit-learn is as exact soonest.
        ratio: how many times as fast ours is.
    """

    ways: int
    shots: int
    milliseconds: float
    error: float
    precision: str
    tolerance: float
    ratio: Ratio


@dataclass(frozen=True)
class Stack:
    """A thousand tasks of one way and shot: fits per second in one stack, and how many times as fast as one at a time."""

    ways: int
    shots: int
    per_second: float
    ratio: Ratio


@dataclass(frozen=True)
class Apply:
    """Images of that many tasks in one batch: milliseconds per way of applying the heads, for the whole batch."""

    ways: int
    tasks: int
    gathered: float
    grouped: float


def main() -> None:
    parser = benchmark_parser("head", __doc__, rounds=5, seconds=0.2)
    parser.add_argument("--ways", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5, 20])
    arguments = parser.parse_args()
    race_them = partial(race, rounds=arguments.rounds, seconds=arguments.seconds)
    # scikit-learn's doubt whether 1-shot tasks are meant, at every fit.
    warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
    figures: dict[str, list[Any]] = {"fits": [], "stacks": [], "applied": []}
    with threadpool_limits(1):
        print("one fit; scikit-learn at equal optimum")
        print(f"{'ways':>5}{'shots':>7}{'ours, ms':>10}{'error':>9}{'times as fast':>22}   scikit-learn's")
        for ways, shots in product(arguments.ways, arguments.shots):
            cell = _fit(ways, shots, race_them)
            figures["fits"].append(cell)
            line = f"{ways:>5}{shots:>7}{cell.milliseconds:>10.2f}{cell.error:>9.0e}{cell.ratio!s:>22}"
            print(f"{line}   {cell.precision}, tolerance {cell.tolerance:.0e}", flush=True)
        print(f"\n{_TASKS:,} fits in one stack, beside one at a time")
        print(f"{'ways':>5}{'shots':>7}{'fits/s':>10}{'times as fast':>22}")
        for shots in arguments.shots:
            stack = _stack(min(arguments.ways), shots, race_them)
            figures["stacks"].append(stack)
            print(f"{stack.ways:>5}{shots:>7}{stack.per_second:>10,.0f}{stack.ratio!s:>22}", flush=True)
        print(f"\nheads applied to {_IMAGES} images of several tasks, ms for all")
        print(f"{'ways':>5}{'tasks':>7}{'gathered':>10}{'grouped':>10}")
        for ways, tasks in product(arguments.ways, (1, 8, _IMAGES)):
            applied = _apply(ways, tasks, race_them)
            figures["applied"].append(applied)
            print(f"{ways:>5}{tasks:>7}{applied.gathered:>10.2f}{applied.grouped:>10.2f}", flush=True)
    document = {name: [asdict(figure) for figure in found] for name, found in figures.items()}
    write_json(arguments.json, document)


def _fit(ways: int, shots: int, race_them: Race) -> Fit:
    support, labels = episode(ways, shots, seed=1)
    queries, _ = episode(ways, _QUERIES, seed=2)
    optimum = _scikit_learn(support, labels, "float64", 1e-10).predict_proba(queries)
    linear = fit(support, labels, ways, OPTIONS)
    error = float(np.abs(softmax(queries @ linear.weight.T + linear.bias, 1.0) - optimum).max())
    tolerances = {
        precision: tolerance
        for precision in _PRECISIONS
        if (tolerance := _equal_tolerance(support, labels, queries, optimum, precision)) is not None
    }
    theirs = {
        precision: repeat(partial(_scikit_learn, support, labels, precision, tolerance))
        for precision, tolerance in tolerances.items()
    }
    rates = race_them({_OURS: repeat(partial(fit, support, labels, ways, OPTIONS)), **theirs})
    best = max(theirs, key=rates.median)
    return Fit(ways, shots, 1e3 / rates.median(_OURS), error, best, tolerances[best], rates.ratio(_OURS, best))


def _scikit_learn(support: Float32, labels: Labels, precision: str, tolerance: float) -> LogisticRegression:
    return LogisticRegression(C=OPTIONS.C, tol=tolerance, max_iter=10_000).fit(support.astype(precision), labels)


def _equal_tolerance(
    support: Float32, labels: Labels, queries: Float32, optimum: NDArray[np.float64], precision: str
) -> float | None:
    """The loosest tolerance at which scikit-learn's probabilities are as near the optimum as ours must be, if there is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # where rounding ends the descent
        for tolerance in _TOLERANCES:
            fitted = _scikit_learn(support, labels, precision, tolerance)
            if np.abs(fitted.predict_proba(queries) - optimum).max() <= _EQUAL:
                return tolerance
    return None


def _stack(ways: int, shots: int, race_them: Race) -> Stack:
    episodes = [episode(ways, shots, seed) for seed in range(_TASKS)]
    support, labels = np.stack([x for x, _ in episodes]), np.stack([y for _, y in episodes])

    def stacked(count: int) -> int:
        stacks = -(-count // _TASKS)
        for _ in range(stacks):
            fit(support, labels, ways, OPTIONS)
        return stacks * _TASKS

    def single(count: int) -> int:
        for task in range(count):
            fit(support[task % _TASKS], labels[task % _TASKS], ways, OPTIONS)
        return count

    rates = race_them({_STACKED: stacked, _SINGLE: single})
    return Stack(ways, shots, rates.median(_STACKED), rates.ratio(_STACKED, _SINGLE))


def _apply(ways: int, tasks: int, race_them: Race) -> Apply:
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=(ways, DIM)).astype(np.float32) for _ in range(tasks)]
    queries = rng.normal(size=(_IMAGES, DIM)).astype(np.float32)
    of = rng.permutation(np.arange(_IMAGES) % tasks)

    def gathered() -> None:
        np.stack([weights[task] for task in of]) @ queries[:, :, None]

    def grouped() -> None:
        for task, weight in enumerate(weights):
            queries[of == task] @ weight.T

    rates = race_them({"gathered": repeat(gathered), "grouped": repeat(grouped)})
    return Apply(ways, tasks, 1e3 / rates.median("gathered"), 1e3 / rates.median("grouped"))


def episode(ways: int, shots: int, seed: int) -> tuple[Float32, Labels]:
    """Features of norm one (ways · shots, D) and their labels; classes are the same whatever the seed."""
    centres = np.repeat(np.random.default_rng(0).normal(size=(ways, DIM)), shots, axis=0)
    noise = np.random.default_rng((seed, ways, shots)).normal(size=centres.shape)
    x: Float32 = features((centres + _SPREAD * noise).astype(np.float32), None)
    return x, np.repeat(np.arange(ways), shots)


if __name__ == "__main__":
    main()
