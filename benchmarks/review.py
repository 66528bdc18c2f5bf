"""Does the review queue's order teach a task faster? Beside chance, margin, entropy and k-centre choice.

    python -m benchmarks.review --data DATA --keep kept --json review.json
    python -m benchmarks.review --data DATA --keep kept --bundle cifar-fs-resnet12@1 --domains cifar-fs --per-class 100

5-way tasks of each domain's novel classes, with 1 or 3 examples a class. The pool has 200 images, or what the domain affords. One
in five is of a class that the task does not have. An image that is chosen gets its label; a stranger costs a label and teaches
nothing. Then the head is fitted again and asked about images of its classes that it has never seen. Labels are given in rounds of
5, each with a new order by the refitted head, or as the first 20 of one order. All ways get the same tasks. Margin is that of the
two likeliest classes (Scheffer et al., IDA 2001). K-centre choice takes the image that is farthest from all examples and all that
are chosen (Sener & Savarese, ICLR 2018).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, open_embedder, parts
from benchmarks.accuracy.novel_classes import interval
from benchmarks.shared.command import write_json
from models.arrays import Floats, Ints, Reals
from models.bundle import Bundle
from models.examples.usefulness import by_usefulness
from models.heads.fitting import fit_linear
from models.heads.head import BackboneRef, EmbeddingSpace, Float32, features, softmax
from models.heads.temperature import options_for
from models.novelty.detector import Background, fit_detector, novelty_of
from training.evaluation.episodes import Embedded

_WAYS, _STARTS, _LABELS, _ROUND = 5, (1, 3), (5, 10, 20), 5
_POOL, _STRANGERS = 200, 0.2
_FEWEST_QUERIES, _MOST_QUERIES = 5, 15  # of a class
_STRANGER = -1

Order = Callable[[Float32, Floats, Reals, Float32], Ints]
"""From embeddings (N, D) of the pool, probabilities (N, K), novelty (N,) and support (n, D) to positions, at least 20 or N."""


@dataclass(frozen=True)
class Row:
    """A way of choosing on a domain. Accuracies after 5, 10 and 20 labels, and how far ours is above them, in percent."""

    domain: str
    shots: int
    pool: int
    rounds: bool
    way: str
    accuracy: tuple[float, ...]
    ci95: tuple[float, ...]
    ours_above: tuple[float, ...]
    ours_above_ci95: tuple[float, ...]
    strangers: float


@dataclass(frozen=True, eq=False)
class Episode:
    """Embeddings and labels of a task's first examples, of the pool and of the queries; strangers have the label -1."""

    support: tuple[Float32, Ints]
    pool: tuple[Float32, Ints]
    queries: tuple[Float32, Ints]


class Task:
    """A head and its detector of strangers, fitted as the server would."""

    def __init__(self, bundle: Bundle, background: Background, embeddings: Float32, labels: Ints) -> None:
        self._space = EmbeddingSpace(BackboneRef(bundle.id, ""), bundle.feature_mean)
        self._options = options_for(bundle.manifest.head, None, embeddings, labels, bundle.feature_mean)
        self._head = fit_linear(embeddings, labels, _WAYS, self._space, self._options)
        self._examples, self._background = (embeddings, labels), background

    def probabilities(self, embeddings: Float32) -> Floats:
        """Returns those of each class, (N, 5)."""
        x = self._space.features(embeddings, self._options.centre)
        return softmax(x @ self._head.weight.T + self._head.bias, self._options.temperature)

    def novelty(self, embeddings: Float32) -> Reals:
        """Returns the novelty of images, (N,)."""
        detector = fit_detector(*self._examples, self._background)
        return novelty_of(detector.familiarity(embeddings, self._background), detector.threshold)

    def accuracy(self, embeddings: Float32, labels: Ints) -> float:
        """Returns the share of images that it knows, in percent."""
        return float(100 * (self.probabilities(embeddings).argmax(axis=1) == labels).mean())


def main(argv: Sequence[str] | None = None) -> None:
    arguments = domain_parser("review", __doc__, episodes=300).parse_args(argv)
    embedder = open_embedder(arguments)
    bundle = embedder.bundle
    background = Background.of(bundle.background, bundle.feature_mean, bundle.manifest.head.novelty)
    print(f"{'domain':<12}{'shots':>6}{'pool':>6}  {'labels':<12}{'way':<10}{'% after 5, 10, 20':^36}{'ours above that':^36}")
    rows = []
    for domain, part in parts(arguments):
        classes = embedder.embed(domain, part)
        for shots in _STARTS:
            with threadpool_limits(1, user_api="blas"):
                drawn = [
                    episode(classes, shots, np.random.default_rng((arguments.seed, shots, i))) for i in range(arguments.episodes)
                ]
                for rounds in (True, False):
                    for row in measure(domain.name, shots, rounds, drawn, bundle, background):
                        rows.append(row)
                        print(_written(row), flush=True)
    write_json(arguments.json, {"bundle": bundle.id, "episodes": arguments.episodes, "rows": [asdict(row) for row in rows]})


def episode(classes: Embedded, shots: int, rng: np.random.Generator) -> Episode:
    """Draws a task. Each class has the same share of the pool, as large as its images afford beside examples and queries."""
    order = rng.permutation(len(classes.by_class))
    members, strangers = round(_POOL * (1 - _STRANGERS)) // _WAYS, round(_POOL * _STRANGERS)
    fewest = min(map(len, classes.by_class)) - shots
    queries = int(np.clip(fewest - members, _FEWEST_QUERIES, _MOST_QUERIES))
    each = min(members, fewest - queries)
    images = np.stack([rng.choice(classes.by_class[k], shots + each + queries, replace=False) for k in order[:_WAYS]])
    others = np.concatenate([classes.by_class[k] for k in order[_WAYS:]])
    others = rng.choice(others, min(len(others), strangers * each // members), replace=False)
    support, mine, asked = np.split(images, (shots, shots + each), axis=1)
    pool = np.concatenate([mine.ravel(), others])
    truth = np.concatenate([np.repeat(np.arange(_WAYS), each), np.full(len(others), _STRANGER)])
    shuffled = rng.permutation(len(pool))
    embeddings = classes.embeddings
    return Episode(
        (embeddings[support.ravel()], np.repeat(np.arange(_WAYS), shots)),
        (embeddings[pool[shuffled]], truth[shuffled]),
        (embeddings[asked.ravel()], np.repeat(np.arange(_WAYS), queries)),
    )


def measure(
    domain: str, shots: int, rounds: bool, drawn: Sequence[Episode], bundle: Bundle, background: Background
) -> Iterator[Row]:
    """Yields a row for each way of choosing, on the same episodes."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for index, task in enumerate(drawn):
        for name, order in _orders(index).items():
            found.setdefault(name, []).append(_labelled(task, order, rounds, bundle, background))
    ours = np.array(found["ours"])[:, :-1]
    for name, values in found.items():
        accuracies = np.array(values)[:, :-1]
        means, intervals = _columns(accuracies)
        strangers = float(np.mean([each[-1] for each in values]))
        yield Row(domain, shots, len(drawn[0].pool[1]), rounds, name, means, intervals, *_columns(ours - accuracies), strangers)


def _columns(values: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(map(float, values.mean(axis=0))), tuple(map(interval, values.T))


def _labelled(task: Episode, order: Order, rounds: bool, bundle: Bundle, background: Background) -> tuple[float, ...]:
    """Returns accuracies after 5, 10 and 20 labels, and how many of the 20 were spent on strangers."""
    (x, y), (pool, truth) = task.support, task.pool
    left, chosen, outcome = np.arange(len(pool)), np.empty(0, np.int64), []
    fitted = Task(bundle, background, x, y)
    for count in range(_ROUND, _LABELS[-1] + 1, _ROUND):
        if rounds or not len(chosen):
            asked = pool[left]
            next_ones = left[order(asked, fitted.probabilities(asked), fitted.novelty(asked), x)]
        chosen = np.concatenate([chosen, next_ones[:_ROUND]])
        left, next_ones = np.setdiff1d(left, chosen), next_ones[_ROUND:]
        mine = chosen[truth[chosen] != _STRANGER]
        x, y = np.concatenate([task.support[0], pool[mine]]), np.concatenate([task.support[1], truth[mine]])
        if rounds or count in _LABELS:
            fitted = Task(bundle, background, x, y)
        if count in _LABELS:
            outcome.append(fitted.accuracy(*task.queries))
    return *outcome, float((truth[chosen] == _STRANGER).sum())


def _orders(index: int) -> dict[str, Order]:
    """Returns the ways of choosing, by name. Chance depends on the episode's number alone."""
    rng = np.random.default_rng((0, index))
    return {
        "ours": by_usefulness,
        "random": lambda pool, _probabilities, _novelty, _support: rng.permutation(len(pool)),
        "margin": lambda _pool, probabilities, _novelty, _support: np.argsort(_margins(probabilities), kind="stable"),
        "entropy": lambda _pool, probabilities, _novelty, _support: np.argsort(
            (probabilities * np.log(np.maximum(probabilities, 1e-300))).sum(axis=1), kind="stable"
        ),
        "k-centre": lambda pool, _probabilities, _novelty, support: _k_centre(pool, support),
    }


def _margins(probabilities: Floats) -> Floats:
    ranked = np.sort(probabilities, axis=1)
    margins: Floats = ranked[:, -1] - ranked[:, -2]
    return margins


def _k_centre(pool: Float32, support: Float32) -> Ints:
    """Returns the first 20 of the pool by cosine distance from the support and from those before."""
    x = features(pool, None)
    nearest, chosen = (x @ features(support, None).T).max(axis=1), []
    for _ in range(min(_LABELS[-1], len(pool))):
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, x @ x[chosen[-1]])
        nearest[chosen] = np.inf
    return np.array(chosen)


def _written(row: Row) -> str:
    accuracies = "".join(f"{mean:>7.1f} ± {half:.1f}" for mean, half in zip(row.accuracy, row.ci95, strict=True))
    above = "".join(f"{mean:>+7.1f} ± {half:.1f}" for mean, half in zip(row.ours_above, row.ours_above_ci95, strict=True))
    labels = "rounds of 5" if row.rounds else "20 at once"
    return f"{row.domain:<12}{row.shots:>6}{row.pool:>6}  {labels:<11} {row.way:<10}{accuracies}{above}"


if __name__ == "__main__":
    main()
