"""Do the images of one request help each other? Soft k-means over them beside the head alone.

    python -m benchmarks.transductive --data DATA --json transductive.json
    python -m benchmarks.transductive --data DATA --keep kept --domains gtsrb trashnet --episodes 100

5-way episodes of each domain's novel classes, the default head with the temperature of its manifest. Requests have 8 to 256
images, as far as a domain has so many:

- of all classes equally;
- as Dirichlet(½) shares them out among the classes (Veilleux et al., NeurIPS 2021);
- of two classes, and of one alone;
- with as many strangers from other classes as images, which count for neither accuracy nor calibration.

Each is sent sorted by class and shuffled: `moved` counts answers that depend on the order. Queries count for the class means as
the novelty detector weighs them. From five examples a class on a request is answered by the head alone, so every gain there is
0. `together` is the answer's own field.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, embedded_domains, open_embedder
from benchmarks.accuracy.novel_classes import interval
from benchmarks.shared.command import write_json
from models.bundle import Bundle
from models.heads.fitting import fit
from models.heads.head import features, softmax
from models.heads.temperature import options_for
from models.heads.transductive import are_shared, share_queries
from models.novelty.detector import Background, fit_detector
from training.evaluation.episodes import Embedded
from training.evaluation.evaluate import calibration_error

_WAYS, _SHOTS, _SIZES = 5, (1, 3, 5), (8, 64, 256)
_LEAST_IMAGES = max(_SHOTS) + 5
_STRANGER = -1
_HEADS = ("alone %", "gain", "ECE alone", "ECE", "moved", "together")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """The mixture of a request's images: the share of each class, and the strangers for each of its images."""

    name: str
    shares: Callable[[np.random.Generator], Sequence[float] | Floats]
    strangers: float = 0.0


MIXTURES = (
    Mixture("all classes", lambda _: [0.2] * _WAYS),
    Mixture("Dirichlet(1/2)", lambda rng: rng.dirichlet(np.full(_WAYS, 0.5))),
    Mixture("two classes", lambda _: [0.5, 0.5, 0, 0, 0]),
    Mixture("one class", lambda _: [1.0, 0, 0, 0, 0]),
    Mixture("half strangers", lambda _: [0.2] * _WAYS, 1.0),
)


@dataclass(frozen=True)
class Row:
    """Shares of one, the gain with half of its 95 % interval."""

    domain: str
    shots: int
    mixture: str
    images: int
    alone: float
    gain: float
    gain_ci95: float
    ece_alone: float
    ece: float
    moved: float
    together: bool


@dataclass(frozen=True, eq=False)
class Request:
    """Positions of support (n,) and query images (Q,), sorted by class, and the queries' labels (Q,)."""

    support: Ints
    query: Ints
    labels: Ints


@dataclass(frozen=True, eq=False)
class Answer:
    """The results of one request: accuracies, the confidence and correctness of both ways, and how many answers an order
    moved.
    """

    alone: float
    together: float
    confidences: tuple[Floats, Floats]
    right: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    moved: float


def main() -> None:
    arguments = domain_parser("transductive", __doc__, episodes=200).parse_args()
    embedder = open_embedder(arguments)
    rows: list[Row] = []
    print(f"{'domain':<14}{'shots':>6}  {'mixture':<16}{'images':>7}" + "".join(f"{head:>16}" for head in _HEADS))
    with threadpool_limits(1, user_api="blas"):
        for domain, classes in embedded_domains(arguments, embedder, _LEAST_IMAGES):
            for shots in _SHOTS:
                for mixture in MIXTURES:
                    for images in _affordable(classes, shots):
                        row = _measure(embedder.bundle, classes, (domain.name, shots, mixture, images), arguments)
                        rows.append(row)
                        print(_written(row), flush=True)
    for shots in _SHOTS:
        worst = min((row for row in rows if row.shots == shots), key=lambda row: row.gain)
        print(f"{shots} shots: at worst {100 * worst.gain:+.2f} ({worst.domain}, {worst.mixture}, {worst.images} images)")
    write_json(arguments.json, {"bundle": embedder.bundle.id, "engine": embedder.engine.kind, "rows": [asdict(r) for r in rows]})


def _affordable(classes: Embedded, shots: int) -> list[int]:
    """The sizes of request that five classes have images for beside the examples; the largest is what there is, if fewer."""
    most = _WAYS * (min(len(images) for images in classes.by_class) - shots)
    return sorted({min(size, most) for size in _SIZES})


def _measure(bundle: Bundle, classes: Embedded, cell: tuple[str, int, Mixture, int], arguments: argparse.Namespace) -> Row:
    """One kind of request, over all episodes; those of a number are the same whatever is measured."""
    domain, shots, mixture, images = cell
    background = Background.of(bundle.background, bundle.feature_mean, bundle.manifest.head.novelty)
    answers = []
    for index in range(arguments.episodes):
        rng = np.random.default_rng((arguments.seed, shots, index))
        answers.append(_answer(bundle, classes, _draw(classes, mixture, shots, images, rng), background, rng))
    gains = np.array([answer.together - answer.alone for answer in answers])
    alone = float(np.mean([answer.alone for answer in answers]))
    ece_alone, ece = (
        calibration_error(
            np.concatenate([answer.confidences[way] for answer in answers]),
            np.concatenate([answer.right[way] for answer in answers]),
        )
        for way in (0, 1)
    )
    moved = float(np.mean([answer.moved for answer in answers]))
    together = are_shared([shots] * _WAYS, images)
    return Row(domain, shots, mixture.name, images, alone, float(gains.mean()), interval(gains), ece_alone, ece, moved, together)


def _draw(classes: Embedded, mixture: Mixture, shots: int, images: int, rng: np.random.Generator) -> Request:
    order = rng.permutation(len(classes.by_class))
    drawn = [rng.permutation(classes.by_class[k]) for k in order[:_WAYS]]
    known = round(images / (1 + mixture.strangers))
    counts = [min(count, len(of) - shots) for count, of in zip(_dealt(mixture.shares(rng), known), drawn, strict=True)]
    # Where a domain has five classes and one more, all strangers are of that one.
    others = np.concatenate([classes.by_class[k] for k in order[_WAYS:]]) if len(order) > _WAYS else np.empty(0, np.int64)
    strangers = rng.permutation(others)[: images - known]
    query = np.concatenate([*(of[shots : shots + count] for of, count in zip(drawn, counts, strict=True)), strangers])
    labels = np.concatenate([np.repeat(np.arange(_WAYS), counts), np.full(len(strangers), _STRANGER)])
    return Request(np.concatenate([of[:shots] for of in drawn]), query, labels)


def _dealt(shares: Sequence[float] | Floats, images: int) -> list[int]:
    """Whole numbers that add up to `images`, as near to the shares as they can be."""
    bounds = np.round(np.cumsum(shares) * images).astype(int)
    return [int(count) for count in np.diff(bounds, prepend=0)]


def _answer(bundle: Bundle, classes: Embedded, request: Request, background: Background, rng: np.random.Generator) -> Answer:
    shots = len(request.support) // _WAYS
    labels = np.repeat(np.arange(_WAYS), shots)
    support, query = classes.embeddings[request.support], classes.embeddings[request.query]
    mean = bundle.feature_mean
    options = options_for(bundle.manifest.head, None, support, labels, mean)
    head_features = [features(each, mean if options.centre else None) for each in (support, query)]
    linear = fit(head_features[0].astype(np.float64), labels, _WAYS, options)
    alone = softmax(head_features[1] @ linear.weight.T + linear.bias, options.temperature)
    weights = fit_detector(support[None], labels, background).weights(query[None], background)[0]
    centred = [features(each, mean) for each in (support, query)]
    together = share_queries(alone, centred[0], labels, centred[1], weights)
    order = rng.permutation(len(query))
    shuffled = share_queries(alone[order], centred[0], labels, centred[1][order], weights[order])
    known = request.labels != _STRANGER
    ways = [probabilities[known] for probabilities in (alone, together)]
    right = [each.argmax(axis=1) == request.labels[known] for each in ways]
    moved = (together[order].argmax(axis=1) != shuffled.argmax(axis=1)).mean()
    confidences = (ways[0].max(axis=1), ways[1].max(axis=1))
    return Answer(float(right[0].mean()), float(right[1].mean()), confidences, (right[0], right[1]), float(moved))


def _written(row: Row) -> str:
    cells = [f"{100 * row.alone:.2f}", f"{100 * row.gain:+.2f} ± {100 * row.gain_ci95:.2f}"]
    cells += [f"{100 * row.ece_alone:.1f}", f"{100 * row.ece:.1f}", f"{row.moved:.4f}", "yes" if row.together else "no"]
    return f"{row.domain:<14}{row.shots:>6}  {row.mixture:<16}{row.images:>7}" + "".join(f"{cell:>16}" for cell in cells)


if __name__ == "__main__":
    main()
