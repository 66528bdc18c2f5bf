"""Do the images of one request help each other? Soft k-means over them beside the head alone.

    python -m benchmarks.transductive --data part0.zip part1.zip part2.zip --json transductive.json

5-way episodes of novel classes, the default head with the temperature of its manifest. Requests of 75 images: 15 of each class;
as Dirichlet(2) shares them out among the classes (Veilleux et al., NeurIPS 2021); of three classes alone; with 25 images of
other classes among them, mixed or all of one, which count for neither accuracy nor calibration. And of 1, 2 and 5 images of any
classes. Queries count for the class means as the novelty detector weighs them, or all alike (unweighted).
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.command import write_json
from benchmarks.novel_classes import accuracy_parser, embed_part, interval, open_shipped
from models.bundle import Bundle
from models.fitting import fit
from models.heads import features, softmax
from models.novelty import Background, fit_detector
from models.temperature import options_for
from models.transductive import share_queries
from training.episodes import Embedded
from training.evaluate import calibration_error

_WAYS, _SHOTS, _STACK = 5, (1, 5), 50
_STRANGER = -1

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Request:
    """A kind of request: how many images of each class it has, and of how many other classes how many more."""

    name: str
    counts: Callable[[np.random.Generator], Ints]
    strangers: int = 0
    stranger_classes: int = 0


def _evenly(images: int) -> Callable[[np.random.Generator], Ints]:
    return lambda rng: rng.multinomial(images, np.full(_WAYS, 1 / _WAYS))


REQUESTS = (
    Request("15 of each class", lambda _: np.full(_WAYS, 15)),
    Request("75, Dirichlet(2)", lambda rng: rng.multinomial(75, rng.dirichlet(np.full(_WAYS, 2.0)))),
    Request("75 of three classes", lambda _: np.array([25, 25, 25, 0, 0])),
    Request("50 and 25 strangers", lambda _: np.full(_WAYS, 10), 25, 15),
    Request("50 and 25 of one class", lambda _: np.full(_WAYS, 10), 25, 1),
    Request("5 images", _evenly(5)),
    Request("2 images", _evenly(2)),
    Request("1 image", _evenly(1)),
)


@dataclass(frozen=True)
class Row:
    """Accuracies with their 95 % intervals, those of the paired differences too, and calibration errors; all shares of one."""

    request: str
    shots: int
    alone: float
    alone_ci95: float
    together: float
    together_ci95: float
    gain: float
    gain_ci95: float
    gain_unweighted: float
    gain_unweighted_ci95: float
    ece_alone: float
    ece_together: float


@dataclass(frozen=True, eq=False)
class Stack:
    """T episodes: positions of support (T, n) and query images (T, Q), and the queries' labels (T, Q)."""

    support: Ints
    query: Ints
    labels: Ints


def main() -> None:
    arguments = accuracy_parser("transductive", __doc__, episodes=2000).parse_args()
    bundle, engine = open_shipped(arguments)
    novel = embed_part(arguments, bundle, engine, "test")
    columns = "".join(f"{name:>16}" for name in ("alone %", "together %", "gain", "unweighted"))
    print(f"{'request':<24}{'shots':>6}{columns}{'ECE alone':>11}{'together':>10}")
    rows = []
    for shots in _SHOTS:
        for request in REQUESTS:
            row = measure(bundle, novel, request, shots, arguments.episodes, arguments.seed)
            rows.append(row)
            figures = astuple(row)[2:-2]
            cells = "".join(
                f"{f'{100 * mean:.2f} ± {100 * half:.2f}':>16}" for mean, half in zip(figures[::2], figures[1::2], strict=True)
            )
            eces = f"{100 * row.ece_alone:>11.1f}{100 * row.ece_together:>10.1f}"
            print(f"{request.name:<24}{shots:>6}{cells}{eces}", flush=True)
    write_json(arguments.json, {"bundle": bundle.id, "engine": engine.kind, "rows": [asdict(row) for row in rows]})


def measure(bundle: Bundle, classes: Embedded, request: Request, shots: int, episodes: int, seed: int) -> Row:
    """One kind of request, over all episodes."""
    head = bundle.manifest.head
    options = head.options()
    space = features(classes.embeddings, bundle.feature_mean if options.centre else None)
    centred = features(classes.embeddings, bundle.feature_mean)
    background = Background.of(bundle.background, bundle.feature_mean)
    labels = np.repeat(np.arange(_WAYS), shots)
    accuracies: list[list[NDArray[np.float64]]] = [[], [], []]
    answers: list[list[tuple[NDArray[np.float64], NDArray[np.bool_]]]] = [[], [], []]
    with threadpool_limits(1, user_api="blas"):
        for stack in _draw(classes, request, shots, episodes, seed):
            support_TnD, query_TQD = space[stack.support], space[stack.query]
            linear = fit(support_TnD, np.tile(labels, (len(support_TnD), 1)), _WAYS, options)
            scores = query_TQD @ linear.weight.astype(np.float32).mT + linear.bias.astype(np.float32)[:, None]
            each = [options_for(head, None, x_nD, labels, bundle.feature_mean) for x_nD in classes.embeddings[stack.support]]
            alone_TQK = softmax(scores, np.array([found.temperature for found in each])[:, None, None])
            detector = fit_detector(classes.embeddings[stack.support], labels, background)
            weights = detector.weights(classes.embeddings[stack.query], background)
            shared = alone_TQK, centred[stack.support], labels, centred[stack.query]
            ways = alone_TQK, share_queries(*shared, weights), share_queries(*shared)
            known = stack.labels != _STRANGER
            for way, probabilities in enumerate(ways):
                right = probabilities.argmax(axis=-1) == stack.labels
                accuracies[way].append(right.sum(axis=1) / known.sum(axis=1))
                answers[way].append((probabilities.max(axis=-1)[known], right[known]))
    alone, together, unweighted = map(np.concatenate, accuracies)
    ece = [calibration_error(*map(np.concatenate, zip(*parts, strict=True))) for parts in answers[:2]]
    figures = alone, together, together - alone, unweighted - alone
    means = [part for values in figures for part in (float(values.mean()), interval(values))]
    return Row(request.name, shots, *means, *ece)


def _draw(classes: Embedded, request: Request, shots: int, episodes: int, seed: int) -> Iterator[Stack]:
    """All episodes, a stack at a time; those of a kind and number are the same whatever the seeds of others."""
    for start in range(0, episodes, _STACK):
        drawn = [
            _episode(classes, request, shots, np.random.default_rng((seed, shots, index)))
            for index in range(start, min(start + _STACK, episodes))
        ]
        yield Stack(*map(np.stack, zip(*drawn, strict=True)))


def _episode(classes: Embedded, request: Request, shots: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    order, counts = rng.permutation(len(classes.by_class)), request.counts(rng)
    images = [rng.permutation(classes.by_class[k])[: shots + n] for k, n in zip(order[:_WAYS], counts, strict=True)]
    support = np.concatenate([of[:shots] for of in images])
    others = np.concatenate([classes.by_class[k] for k in order[_WAYS : _WAYS + max(1, request.stranger_classes)]])
    query = np.concatenate([*(of[shots:] for of in images), rng.permutation(others)[: request.strangers]])
    labels = np.concatenate([np.repeat(np.arange(_WAYS), counts), np.full(request.strangers, _STRANGER)])
    return support, query, labels


if __name__ == "__main__":
    main()
