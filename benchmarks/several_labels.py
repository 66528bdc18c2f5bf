"""Does a task in which an image may have several labels find them, and do its probabilities mean what they say?

    python -m benchmarks.several_labels --data DATA --keep kept --json several.json
    python -m benchmarks.several_labels --data DATA --keep kept --bundle cifar-fs-resnet12@1 --domains cifar-fs

`composed`: images with the middle of one image in their left half and that of another in their right half, of groups of five
classes; a half in five shows a class of none of the labels. Images are drawn until each label has so many, and as many have none.
`coarse and fine` (CIFAR-FS): whole images of five classes, with the label of the class, and that of CIFAR-100's superclass where
two of the five share it. Support and queries share no image. Beside it: scikit-learn's `OneVsRestClassifier` of
`LogisticRegression()` with its default options, on the same features; `balanced` is the same with `class_weight="balanced"`.

Average precision and F1 at ½ are means over labels, then over tasks. The calibration error is that of all labels and images
together, over 15 bins.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.resources import files
from itertools import product

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.multiclass import OneVsRestClassifier
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.compositions import composed
from benchmarks.accuracy.domain_arguments import domain_parser, open_embedder, parts
from benchmarks.accuracy.domain_data import Domain, Embedder
from benchmarks.accuracy.novel_classes import interval
from benchmarks.shared.command import write_json
from models.arrays import Bools, Floats, Ints
from models.heads.head import EmbeddingSpace, Float32
from models.heads.several_labels import OPTIONS, fit_labels
from training.data.class_split import Part
from training.evaluation.evaluate import CALIBRATION_BINS

_POSITIVES = (1, 5, 20)  # a label
_CLASSES, _QUERIES = 5, 15
_RESAMPLED = 500

Method = Callable[[Float32, Bools, Float32, EmbeddingSpace], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Examples and queries, embedded, (n, D) and (m, D), and which of K labels they have, (n, K) and (m, K)."""

    support: Float32
    has: Bools
    queries: Float32
    truth: Bools


@dataclass(frozen=True)
class Row:
    """A method on one kind of task; shares of one, each with half of its 95 % interval over the tasks."""

    domain: str
    kind: str
    positives: int
    method: str
    tasks: int
    average_precision: tuple[float, float]
    f1: tuple[float, float]
    calibration_error: tuple[float, float]


def main(argv: Sequence[str] | None = None) -> None:
    arguments = domain_parser("several_labels", __doc__, episodes=100).parse_args(argv)
    embedder = open_embedder(arguments)
    print(f"{'domain':<12}{'kind':<17}{'positives':>9}  {'method':<10}{'mAP %':>14}{'F1 %':>14}{'ECE %':>14}", flush=True)
    rows = []
    for domain, part in parts(arguments):
        for kind, positives, tasks in _kinds(embedder, domain, part, arguments.episodes, arguments.seed):
            for name, method in METHODS.items():
                with threadpool_limits(1, user_api="blas"):
                    rows.append(measured(tasks, method, embedder.engine.space, (domain.name, kind, positives, name)))
                print(_written(rows[-1]), flush=True)
    write_json(arguments.json, {"bundle": embedder.bundle.id, "rows": [asdict(row) for row in rows]})


def _served(support: Float32, has: Bools, queries: Float32, space: EmbeddingSpace) -> Floats:
    sets = [tuple(map(str, np.flatnonzero(own))) for own in has]
    head = fit_labels(support, sets, space, OPTIONS)
    probabilities = head.probabilities(queries, space)
    return probabilities[:, [head.labels.index(str(k)) for k in range(has.shape[1])]]


def _one_against_rest(class_weight: str | None, support: Float32, has: Bools, queries: Float32, space: EmbeddingSpace) -> Floats:
    x, q = (space.features(each, centre=False) for each in (support, queries))
    model = OneVsRestClassifier(LogisticRegression(class_weight=class_weight))
    found: Floats = model.fit(x, has.astype(int)).predict_proba(q)
    return found


METHODS: Mapping[str, Method] = {
    "served": _served,
    "logistic": partial(_one_against_rest, None),
    "balanced": partial(_one_against_rest, "balanced"),
}


def measured(tasks: Sequence[Task], method: Method, space: EmbeddingSpace, named: tuple[str, str, int, str]) -> Row:
    """Returns the figures of a method on tasks of one kind."""
    precisions, scores, gaps, counts = [], [], [], []
    for task in tasks:
        p = method(task.support, task.has, task.queries, space)
        precisions.append(float(average_precision_score(task.truth, p, average="macro")))
        scores.append(float(f1_score(task.truth, p >= 0.5, average="macro", zero_division=0.0)))
        bins = np.minimum((p.ravel() * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        gaps.append(np.bincount(bins, p.ravel() - task.truth.ravel(), CALIBRATION_BINS))
        counts.append(p.size)
    precision, f1 = ((float(np.mean(values)), interval(values)) for values in (precisions, scores))
    return Row(*named, len(tasks), precision, f1, _calibration_error(np.array(gaps), np.array(counts)))


def _calibration_error(gaps: Floats, counts: Ints) -> tuple[float, float]:
    """Returns the error of all tasks together, and half its 95 % interval, from tasks drawn again.

    Args:
        gaps: (T, bins) the sum of probabilities less that of labels in each bin.
        counts: (T,) pairs of an image and a label.
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(gaps), size=(_RESAMPLED, len(gaps)))
    again = np.abs(gaps[drawn].sum(axis=1)).sum(axis=1) / counts[drawn].sum(axis=1)
    return float(np.abs(gaps.sum(axis=0)).sum() / counts.sum()), float(1.96 * again.std())


def _kinds(embedder: Embedder, domain: Domain, part: Part, episodes: int, seed: int) -> Iterator[tuple[str, int, list[Task]]]:
    """Yields the tasks of each kind that a domain has, by their positives a label."""
    groups = composed(embedder, domain, part)
    for positives in _POSITIVES:
        tasks = []
        for each, number in product(groups, range(-(-episodes // len(groups)))):
            rows = drawn(each.support_labels, positives, np.random.default_rng((seed, positives, number)))
            tasks.append(Task(each.support[rows], each.support_labels[rows], each.queries, each.query_labels))
        yield "composed", positives, tasks
    if domain.name == "cifar-fs":
        for positives in _POSITIVES:
            yield "coarse and fine", positives, list(_of_superclasses(embedder, domain, part, positives, episodes, seed))


def drawn(has: Bools, positives: int, rng: np.random.Generator) -> Ints:
    """Returns the rows of a support set: images in a random order, each kept if one of its labels has too few yet, or if it has
    no label and there are fewer such images than `positives`.

    Args:
        has: (N, K).
    """
    counts, kept, without = np.zeros(has.shape[1], np.int64), [], 0
    for row in rng.permutation(len(has)):
        if (has[row] & (counts < positives)).any() or (not has[row].any() and without < positives):
            kept.append(row)
            counts += has[row]
            without += not has[row].any()
    return np.array(kept)


def _of_superclasses(embedder: Embedder, domain: Domain, part: Part, positives: int, episodes: int, seed: int) -> Iterator[Task]:
    names = domain.read_split(embedder.data).classes(part)
    superclasses = json.loads((files("training.data.splits") / "fc100.json").read_text())["superclasses"]
    coarse = np.array([next(k for k, fine in enumerate(superclasses.values()) if name in fine) for name in names])
    shared = [k for k in np.unique(coarse) if (coarse == k).sum() > 1]
    images = embedder.embed(domain, part)
    for number in range(episodes):
        rng = np.random.default_rng((seed, positives, number))
        pair = rng.choice(np.flatnonzero(coarse == rng.choice(shared)), 2, replace=False)
        others = rng.choice(np.setdiff1d(np.arange(len(names)), pair), _CLASSES - 2, replace=False)
        classes = np.concatenate([pair, others])
        kinds = [k for k in np.unique(coarse[classes]) if (coarse[classes] == k).sum() > 1]
        of_class = np.concatenate([np.eye(_CLASSES, dtype=bool), coarse[classes][:, None] == kinds], axis=1)
        chosen = np.stack([rng.choice(images.by_class[k], positives + _QUERIES, replace=False) for k in classes])
        support, queries = (images.embeddings[part.ravel()] for part in np.split(chosen, [positives], axis=1))
        yield Task(support, of_class.repeat(positives, axis=0), queries, of_class.repeat(_QUERIES, axis=0))


def _written(row: Row) -> str:
    figures = (row.average_precision, row.f1, row.calibration_error)
    cells = "".join(f"{f'{100 * share:.1f} ± {100 * half:.1f}':>14}" for share, half in figures)
    return f"{row.domain:<12}{row.kind:<17}{row.positives:>9}  {row.method:<10}{cells}"


if __name__ == "__main__":
    main()
