"""Do prediction sets hold the right label as often as asked, and how small are they?

    python -m benchmarks.prediction_sets --data DATA --json sets.json
    python -m benchmarks.prediction_sets --data DATA --bundle cifar-fs-resnet12@1 --domains cifar-fs

Tasks of each domain's novel classes, up to 15 queries a class. A cell is left out where too few classes have five images beside
the shots. Strangers are 30 images of the domain's other classes. `at best` is the size with the one threshold that has the asked
coverage in all tasks of the cell together, which nobody can know beforehand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, embedded_domains, open_embedder
from benchmarks.accuracy.novel_classes import interval
from benchmarks.shared.command import write_json
from models.arrays import Bools, Floats
from models.bundle import Bundle
from models.examples.bursts import bursts, least_similarity
from models.heads.fitting import fit_head
from models.heads.head import EmbeddingSpace, features
from models.heads.prediction_sets import SetRule, set_rule
from models.heads.temperature import options_for
from training.evaluation.episodes import Embedded

_WAYS, _SHOTS, _COVERAGES = (5, 20), (1, 5, 20), (0.8, 0.9, 0.95)
_QUERIES, _FEWEST_QUERIES, _STRANGERS = 15, 5, 30
_HEADS = ("asked", "held, %", "size", "at best", "empty, %", "strangers empty, %")


@dataclass(frozen=True)
class Row:
    """Tasks of one kind. `held` is in percent, with half of its 95 % interval; so are the shares of empty sets, those of
    strangers None where a domain has no class to spare.
    """

    domain: str
    ways: int
    shots: int
    asked: float
    held: tuple[float, float]
    size: float
    best: float
    empty: float
    strangers: float | None


@dataclass(frozen=True, eq=False)
class Task:
    """A task's rule, and the probabilities (N, K) of its queries and strangers; `right` (N, K) marks the queries' labels."""

    rule: SetRule
    queries: Floats
    right: Bools
    strangers: Floats


def main() -> None:
    parser = domain_parser("prediction_sets", __doc__, episodes=500)
    parser.add_argument("--ways", type=int, nargs="+", default=_WAYS, help="default: 5 and 20")
    parser.add_argument("--shots", type=int, nargs="+", default=_SHOTS, help="default: 1, 5 and 20")
    arguments = parser.parse_args()
    embedder = open_embedder(arguments)
    bundle, space = embedder.bundle, embedder.engine.space
    least = least_similarity(features(bundle.background, None))
    rows = []
    print(f"{'domain':<14}{'ways':<6}{'shots':<7}" + "".join(f"{head:>20}" for head in _HEADS))
    with threadpool_limits(1, user_api="blas"):
        for domain, classes in embedded_domains(arguments, embedder, 1):
            for ways, shots in product(arguments.ways, arguments.shots):
                usable = [images for images in classes.by_class if len(images) >= shots + _FEWEST_QUERIES]
                if len(usable) < ways:
                    continue
                seeds = [(arguments.seed, ways, shots, episode) for episode in range(arguments.episodes)]
                drawn = Embedded(classes.embeddings, usable)
                tasks = [_task(bundle, space, least, drawn, ways, shots, np.random.default_rng(seed)) for seed in seeds]
                for row in _rows(domain.name, ways, shots, tasks):
                    rows.append(row)
                    print(_written(row), flush=True)
    missed = [row for row in rows if abs(row.held[0] - 100 * row.asked) > 2.0]
    print(f"{len(rows) - len(missed)} of {len(rows)} within 2 points of what was asked")
    write_json(arguments.json, {"bundle": bundle.id, "engine": embedder.engine.kind, "rows": [asdict(row) for row in rows]})


def _task(
    bundle: Bundle, space: EmbeddingSpace, least: float, classes: Embedded, ways: int, shots: int, rng: np.random.Generator
) -> Task:
    order = rng.permutation(len(classes.by_class))
    drawn = [rng.permutation(classes.by_class[k]) for k in order[:ways]]
    labels = np.repeat(np.arange(ways), shots)
    support = classes.embeddings[np.concatenate([images[:shots] for images in drawn])]
    options = options_for(bundle.manifest.head, None, support, labels, bundle.feature_mean)
    names = [str(label) for label in labels]
    head = fit_head(support, names, space, options)
    groups = bursts(space.features(support, centre=False), labels, least)
    queries = [images[shots : shots + _QUERIES] for images in drawn]
    right = np.repeat(np.eye(ways, dtype=bool), [len(images) for images in queries], axis=0)
    spare = [classes.by_class[k] for k in order[ways:]]
    strangers = rng.permutation(np.concatenate(spare))[:_STRANGERS] if spare else np.empty(0, np.int64)
    answers = (head.probabilities(classes.embeddings[rows], space) for rows in (np.concatenate(queries), strangers))
    return Task(set_rule(head, support, names, space, groups), next(answers), right, next(answers))


def _rows(domain: str, ways: int, shots: int, tasks: Sequence[Task]) -> Iterator[Row]:
    true = np.concatenate([task.queries[task.right] for task in tasks])
    for asked in _COVERAGES:
        inside = [task.rule.inside(task.queries, asked) for task in tasks]
        held = 100 * np.array([found[task.right].mean() for task, found in zip(tasks, inside, strict=True)])
        best = np.quantile(true, 1 - asked)
        refused = np.concatenate([~task.rule.inside(task.strangers, asked).any(axis=1) for task in tasks])
        yield Row(
            domain,
            ways,
            shots,
            asked,
            (float(held.mean()), interval(held)),
            float(np.mean([found.sum(axis=1).mean() for found in inside])),
            float(np.mean([(task.queries >= best).sum(axis=1).mean() for task in tasks])),
            float(100 * np.mean([(~found.any(axis=1)).mean() for found in inside])),
            float(100 * refused.mean()) if len(refused) else None,
        )


def _written(row: Row) -> str:
    strangers = "" if row.strangers is None else f"{row.strangers:.1f}"
    cells = [f"{row.asked}", f"{row.held[0]:.1f} ± {row.held[1]:.1f}", f"{row.size:.2f}", f"{row.best:.2f}", f"{row.empty:.1f}"]
    return f"{row.domain:<14}{row.ways:<6}{row.shots:<7}" + "".join(f"{cell:>20}" for cell in (*cells, strangers))


if __name__ == "__main__":
    main()
