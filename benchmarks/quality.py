"""Is what a support set says of itself true? Leave-one-out beside held-out images, and what its advice is worth.

    python -m benchmarks.quality --data DATA --json quality.json

5-way tasks of novel classes, judged by leave-one-out as the server does, and on 100 further images of each class. The
advice is followed: five more images of the class it names, beside as many of a class at random, and of the class that would
have helped most. Unequal tasks have 2 to 8 examples a class.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.command import write_json
from benchmarks.novel_classes import accuracy_parser, embed_part, interval, open_shipped
from models.bundle import Bundle
from models.fitting import fit_head
from models.heads import EmbeddingSpace, Float32
from models.leave_one_out import leave_one_out, wanting
from models.temperature import options_for
from server.intervals import wilson
from training.episodes import Embedded

_WAYS, _MORE, _HELD_OUT = 5, 5, 100
_SHOTS: dict[str, Sequence[int]] = {"3": (3,), "5": (5,), "10": (10,), "2 to 8": range(2, 9)}

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """Tasks of so many shots, in percent and points; each mean with half of its 95 % interval."""

    shots: str
    left_out: tuple[float, float]
    held_out: tuple[float, float]
    covered: float
    advised: tuple[float, float]
    at_random: tuple[float, float]
    best: tuple[float, float]


def main() -> None:
    arguments = accuracy_parser("quality", __doc__, episodes=1000).parse_args()
    bundle, engine = open_shipped(arguments)
    classes = embed_part(arguments, bundle, engine, "test")
    rows = []
    heads = ("shots", "leave-one-out, %", "held-out, %", "in its interval, %", "gain as advised", "at random", "at best")
    print(("{:<8}" + "{:>19}" * (len(heads) - 1)).format(*heads))
    with threadpool_limits(1, user_api="blas"):
        for index, (shots, choices) in enumerate(_SHOTS.items()):
            episodes = [
                _episode(bundle, engine.space, classes, choices, np.random.default_rng((arguments.seed, index, episode)))
                for episode in range(arguments.episodes)
            ]
            left_out, held_out, covered, advised, at_random, best = 100 * np.array(episodes).T
            means = [(float(values.mean()), interval(values)) for values in (left_out, held_out, advised, at_random, best)]
            row = Row(shots, means[0], means[1], float(covered.mean()), *means[2:])
            rows.append(row)
            cells = [f"{mean:.2f} ± {half:.2f}" for mean, half in means]
            cells.insert(2, f"{row.covered:.1f}")
            print(f"{shots:<8}" + "".join(f"{cell:>19}" for cell in cells), flush=True)
    write_json(arguments.json, {"bundle": bundle.id, "engine": engine.kind, "rows": [asdict(row) for row in rows]})


def _episode(
    bundle: Bundle, space: EmbeddingSpace, classes: Embedded, choices: Sequence[int], rng: np.random.Generator
) -> tuple[float, ...]:
    """Shares of one: left-out and held-out accuracy, whether the interval has the latter, and three gains of the latter."""
    counts = rng.choice(choices, _WAYS)
    chosen = rng.choice(len(classes.by_class), _WAYS, replace=False)
    sizes = counts + _MORE + _HELD_OUT
    drawn = [rng.choice(classes.by_class[k], size, replace=False) for k, size in zip(chosen, sizes, strict=True)]
    support = np.concatenate([images[:count] for images, count in zip(drawn, counts, strict=True)])
    labels = np.repeat(np.arange(_WAYS), counts)
    query = classes.embeddings[np.concatenate([images[-_HELD_OUT:] for images in drawn])]

    options = options_for(bundle.manifest.head, None, classes.embeddings[support], labels, bundle.feature_mean)
    left_out = leave_one_out(space.features(classes.embeddings[support], options.centre), labels, _WAYS, options)
    right = int((left_out.probabilities.argmax(axis=1) == labels).sum())
    held_out = _accuracy(bundle, space, classes.embeddings[support], labels, query)
    bounds = wilson(right, len(labels))
    assert bounds is not None
    gains = []
    for k, images in enumerate(drawn):
        more = np.concatenate([support, images[counts[k] : counts[k] + _MORE]])
        with_more = _accuracy(bundle, space, classes.embeddings[more], np.append(labels, [k] * _MORE), query)
        gains.append(with_more - held_out)
    advised = gains[int(wanting(left_out, labels).argmax())]
    return right / len(labels), held_out, bounds[0] <= held_out <= bounds[1], advised, float(np.mean(gains)), max(gains)


def _accuracy(bundle: Bundle, space: EmbeddingSpace, support: Float32, labels: Labels, query: Float32) -> float:
    """Of the head that the server would fit, on as many queries of each class."""
    options = options_for(bundle.manifest.head, None, support, labels, bundle.feature_mean)
    head = fit_head(support, [str(label) for label in labels], space, options)
    named = np.array([int(label) for label in head.labels])
    found = named[head.probabilities(query, space).argmax(axis=1)]
    return float((found == np.repeat(np.arange(_WAYS), _HELD_OUT)).mean())


if __name__ == "__main__":
    main()
