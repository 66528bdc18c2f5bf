"""How many more images? The forecast of a task's accuracy, beside what it reached with the images that were forecast.

    python -m benchmarks.forecast --data DATA --per-class 100 --json forecast.json
    python -m benchmarks.forecast --data DATA --per-class 100 --bundle cifar-fs-resnet12@1 --domains cifar-fs
    python -m benchmarks.forecast --data DATA --part validation

Tasks of each domain's novel classes begin with so many shots. The forecast for twice and five times as many stands beside the
accuracy of a head with that many, on all other images of the classes: at least ten of each. Unequal tasks have 2 to 8 shots.

The prior knows the bundle's evaluations on the other datasets only. So a bundle that was evaluated on one dataset has none there.
`no change` is the error of leave-one-out, if it is taken for the forecast; `prior only` that of the forecast that looks at no
example. The truth is counted on few images, so the interval holds it where it misses by no more than half an image.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, embedded_domains, open_embedder
from benchmarks.shared.command import write_json
from models.arrays import Ints
from models.bundle import Bundle
from models.engine import file_of
from models.examples.bursts import bursts, least_similarity
from models.heads.fitting import fit_head
from models.heads.forecast import FACTORS, CurvePrior, Evaluated, forecast
from models.heads.head import EmbeddingSpace, Float32, features
from models.heads.learning_curve import learning_curve
from models.heads.leave_one_out import leave_one_out
from models.heads.temperature import options_for
from server.journeys.evaluations import accuracies_of
from server.journeys.tally import tally
from training.evaluation.episodes import Embedded

_SHOTS: Mapping[str, Sequence[int]] = {"1": (1,), "3": (3,), "5": (5,), "10": (10,), "2 to 8": range(2, 9)}
_FEWEST = 10  # images of a class to measure the truth on
_TIMED = ((5, 20), (20, 5))
_HEADS = ("forecast, %", "truth, %", "error", "no change", "prior only", "inside, %", "width")


@dataclass(frozen=True)
class Task:
    """A task with `factor` times its shots; shares of one. `left_out` is NaN where nothing could be left out."""

    factor: int
    forecast: float
    low: float
    high: float
    prior: float
    left_out: float
    truth: float
    images: int

    @property
    def inside(self) -> bool:
        """True if the interval holds the truth, to half an image."""
        return self.low - 0.5 / self.images <= self.truth <= self.high + 0.5 / self.images


@dataclass(frozen=True)
class Row:
    """Tasks of one kind, in percent and points. The errors are mean absolute ones; `width` is of the interval."""

    domain: str
    ways: int
    shots: str
    factor: int
    tasks: int
    forecast: float
    truth: float
    error: float
    no_change: float | None
    prior_only: float
    inside: float
    width: float


@dataclass(frozen=True)
class Setting:
    """The shared data of a domain's tasks; `burst_similarity` as the server has it."""

    bundle: Bundle
    space: EmbeddingSpace
    burst_similarity: float
    prior: CurvePrior


def main() -> None:
    parser = domain_parser("forecast", __doc__, episodes=100)
    parser.add_argument("--ways", type=int, nargs="+", default=[5], help="default: 5")
    arguments = parser.parse_args()
    embedder = open_embedder(arguments)
    bundle, space = embedder.bundle, embedder.engine.space
    least = least_similarity(features(bundle.background, None))
    evaluated = accuracies_of(bundle.manifest, file_of(embedder.engine.kind), bundle.manifest.head.solver)
    rows = []
    print(f"{'domain':<14}{'ways':<6}{'shots':<8}{'times':<7}{'tasks':<7}" + "".join(f"{head:>13}" for head in _HEADS))
    with threadpool_limits(1, user_api="blas"):
        for domain, classes in embedded_domains(arguments, embedder, 1):
            others = [Evaluated(*key, share) for key, share in evaluated.items() if key.dataset.lower() != domain.name]
            setting = Setting(bundle, space, least, CurvePrior.of(others))
            for ways, shots in product(arguments.ways, _SHOTS):
                seeds = [(arguments.seed, ways, max(_SHOTS[shots]), episode) for episode in range(arguments.episodes)]
                tasks = [task for s in seeds for task in _tasks(setting, classes, ways, shots, np.random.default_rng(s))]
                for factor in FACTORS:
                    if of_factor := [task for task in tasks if task.factor == factor]:
                        rows.append(_row(domain.name, ways, shots, factor, of_factor))
                        print(_written(rows[-1]), flush=True)
        timed = {f"{ways} classes of {shots}": _milliseconds(setting, ways, shots) for ways, shots in _TIMED}
    _summarise(rows, timed)
    document = {"bundle": bundle.id, "engine": embedder.engine.kind, "ms": timed, "rows": [asdict(row) for row in rows]}
    write_json(arguments.json, document)


def _tasks(setting: Setting, classes: Embedded, ways: int, shots: str, rng: np.random.Generator) -> Iterator[Task]:
    """Yields a task with each factor that its classes have images for."""
    counts = rng.choice(_SHOTS[shots], ways)
    usable = [images for images in classes.by_class if len(images) >= FACTORS[0] * max(_SHOTS[shots]) + _FEWEST]
    if len(usable) < ways:
        return
    drawn = [rng.permutation(usable[k]) for k in rng.choice(len(usable), ways, replace=False)]
    support, labels = _support(classes, drawn, counts)
    options = options_for(setting.bundle.manifest.head, None, support, labels, setting.bundle.feature_mean)
    groups = bursts(setting.space.features(support, centre=False), labels, setting.burst_similarity)
    x = setting.space.features(support, options.centre)
    left_out = leave_one_out(x, labels, ways, options, groups)
    sizes, (of_all, _) = left_out.groups_of_classes(labels), tally(left_out, labels)
    expected = forecast(learning_curve(x, labels, options, left_out.groups), sizes, setting.prior)
    for found, blind in zip(expected, forecast([], sizes, setting.prior), strict=True):
        rest = [images[found.factor * count :] for images, count in zip(drawn, counts, strict=True)]
        if min(map(len, rest)) >= _FEWEST:
            truth = _accuracy(setting, *_support(classes, drawn, found.factor * counts), [classes.embeddings[of] for of in rest])
            share = np.nan if of_all.accuracy is None else of_all.accuracy
            yield Task(found.factor, found.accuracy, *found.interval, blind.accuracy, share, truth, sum(map(len, rest)))


def _support(classes: Embedded, drawn: Sequence[Ints], counts: Ints) -> tuple[Float32, Ints]:
    rows = np.concatenate([images[:count] for images, count in zip(drawn, counts, strict=True)])
    return classes.embeddings[rows], np.repeat(np.arange(len(counts)), counts)


def _accuracy(setting: Setting, support: Float32, labels: Ints, queries: Sequence[Float32]) -> float:
    """Returns the accuracy of the head that the server would fit, the mean over the classes."""
    options = options_for(setting.bundle.manifest.head, None, support, labels, setting.bundle.feature_mean)
    head = fit_head(support, [str(label) for label in labels], setting.space, options)
    right = [(head.probabilities(of, setting.space).argmax(axis=1) == label).mean() for label, of in enumerate(queries)]
    return float(np.mean(right))


def _row(domain: str, ways: int, shots: str, factor: int, tasks: Sequence[Task]) -> Row:
    truth = np.array([task.truth for task in tasks])

    def error(values: Sequence[float]) -> float:
        return 100 * float(np.abs(np.array(values) - truth).mean())

    def mean(values: Sequence[float] | NDArray[np.float64]) -> float:
        return 100 * float(np.mean(values))

    no_change = error([task.left_out for task in tasks])
    return Row(
        domain,
        ways,
        shots,
        factor,
        len(tasks),
        mean([task.forecast for task in tasks]),
        mean(truth),
        error([task.forecast for task in tasks]),
        None if np.isnan(no_change) else no_change,
        error([task.prior for task in tasks]),
        mean([task.inside for task in tasks]),
        mean([task.high - task.low for task in tasks]),
    )


def _written(row: Row) -> str:
    no_change = "" if row.no_change is None else f"{row.no_change:.1f}"
    cells = [f"{row.forecast:.1f}", f"{row.truth:.1f}", f"{row.error:.1f}", no_change, f"{row.prior_only:.1f}"]
    cells += [f"{row.inside:.0f}", f"{row.width:.1f}"]
    task = f"{row.domain:<14}{row.ways:<6}{row.shots:<8}{row.factor:<7}{row.tasks:<7}"
    return task + "".join(f"{cell:>13}" for cell in cells)


def _milliseconds(setting: Setting, ways: int, shots: int) -> float:
    """Returns the median time of a forecast of made-up examples."""
    rng = np.random.default_rng(0)
    labels, width = np.repeat(np.arange(ways), shots), len(setting.space.mean)
    made = (rng.normal(size=(ways, width))[labels] + 2.0 * rng.normal(size=(len(labels), width))).astype(np.float32)
    options, seconds = setting.bundle.manifest.head.options(), []
    for _ in range(9):
        begun = time.perf_counter()
        points = learning_curve(features(made, None), labels, options, np.arange(len(labels)))
        forecast(points, np.bincount(labels), setting.prior)
        seconds.append(time.perf_counter() - begun)
    return 1000 * float(np.median(seconds))


def _summarise(rows: Sequence[Row], timed: Mapping[str, float]) -> None:
    """Prints the means over the forecasts of each domain and of all, also of one shot and of several by themselves."""
    for name, kind in product([*dict.fromkeys(row.domain for row in rows), "all"], ("one shot", "several shots", "any shots")):
        of_kind = [row for row in rows if kind == "any shots" or (row.no_change is not None) == (kind == "several shots")]
        if own := [row for row in of_kind if name in (row.domain, "all")]:
            tasks = [row.tasks for row in own]
            shown = ["inside", "width", "error", "prior_only", *(["no_change"] if kind == "several shots" else [])]
            means = {of: np.average([getattr(row, of) for row in own], weights=tasks) for of in shown}
            told = ", ".join(f"{of.replace('_', ' ')} {value:.1f}" for of, value in means.items())
            print(f"{name}, {kind}: {sum(tasks)} forecasts, {told}")
    print("one forecast, one thread: " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in timed.items()))


if __name__ == "__main__":
    main()
