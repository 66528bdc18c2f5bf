"""Is what a support set says of itself true? Leave-one-out beside held-out images, and the value of its advice.

    python -m benchmarks.quality --data DATA --json quality.json
    python -m benchmarks.quality --data DATA --keep kept --domains gtsrb trashnet --episodes 200

5-way tasks of each domain's novel classes are judged by leave-one-out as the server does, and on all further images of each
class, 100 at most. The interval should contain the held-out accuracy 95 times of 100. Where a class has few images left, that
accuracy is itself inexact, and is missed more often. The advice is followed: five more images of the class it names. Beside it
stand as many of a class at random, and of the class that would have helped most. Unequal tasks have 2 to 8 examples a class.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, embedded_domains, open_embedder
from benchmarks.accuracy.novel_classes import interval
from benchmarks.shared.command import write_json
from models.bundle import Bundle
from models.examples.bursts import bursts, least_similarity
from models.heads.fitting import fit_head
from models.heads.head import EmbeddingSpace, Float32, features
from models.heads.leave_one_out import leave_one_out, wanting
from models.heads.temperature import options_for
from server.journeys.tally import tally
from training.evaluation.episodes import Embedded

_WAYS, _MORE, _HELD_OUT = 5, 5, 100
_SHOTS: dict[str, Sequence[int]] = {"2": (2,), "3": (3,), "5": (5,), "10": (10,), "2 to 8": range(2, 9)}
_IMAGES = max(max(choices) for choices in _SHOTS.values()) + 2 * _MORE
_HEADS = ("left out, %", "held out, %", "inside, %", "interval, wide", "merged, %", "gain as advised", "at random", "at best")

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """Tasks of so many shots, in percent and points; means with half of their 95 % interval.

    Attributes:
        inside: in how many tasks the interval holds the held-out accuracy.
        width: of the interval.
        merged: how many examples are taken for further shots of a thing.
    """

    domain: str
    shots: str
    left_out: tuple[float, float]
    held_out: tuple[float, float]
    inside: float
    width: float
    merged: float
    advised: tuple[float, float]
    at_random: tuple[float, float]
    best: tuple[float, float]


@dataclass(frozen=True)
class Setting:
    """The shared data of a bundle's tasks; `burst_similarity` as the server has it."""

    bundle: Bundle
    space: EmbeddingSpace
    burst_similarity: float


def main() -> None:
    arguments = domain_parser("quality", __doc__, episodes=300).parse_args()
    embedder = open_embedder(arguments)
    bundle = embedder.bundle
    setting = Setting(bundle, embedder.engine.space, least_similarity(features(bundle.background, None)))
    rows = []
    print(f"{'domain':<14}{'shots':<8}" + "".join(f"{head:>17}" for head in _HEADS))
    with threadpool_limits(1, user_api="blas"):
        for domain, classes in embedded_domains(arguments, embedder, _IMAGES):
            for index, (shots, choices) in enumerate(_SHOTS.items()):
                seeds = [(arguments.seed, index, episode) for episode in range(arguments.episodes)]
                row = _row(domain.name, shots, [_episode(setting, classes, choices, np.random.default_rng(s)) for s in seeds])
                rows.append(row)
                cells = [_written(row.left_out), _written(row.held_out), f"{row.inside:.1f}", f"{row.width:.1f}"]
                cells += [f"{row.merged:.2f}", *map(_written, (row.advised, row.at_random, row.best))]
                print(f"{domain.name:<14}{shots:<8}" + "".join(f"{cell:>17}" for cell in cells), flush=True)
    for shots in _SHOTS:
        inside = [row.inside for row in rows if row.shots == shots]
        print(f"mean of {len(inside)} domains, {shots} shots: inside {np.mean(inside):.1f} %")
    write_json(arguments.json, {"bundle": bundle.id, "engine": embedder.engine.kind, "rows": [asdict(row) for row in rows]})


def _row(domain: str, shots: str, episodes: Sequence[tuple[float, ...]]) -> Row:
    left_out, held_out, inside, width, merged, *gains = 100 * np.array(episodes).T
    means = [(float(values.mean()), interval(values)) for values in (left_out, held_out, *gains)]
    inside_share, mean_width, merged_share = (float(values.mean()) for values in (inside, width, merged))
    return Row(domain, shots, means[0], means[1], inside_share, mean_width, merged_share, means[2], means[3], means[4])


def _written(mean: tuple[float, float]) -> str:
    return f"{mean[0]:.2f} ± {mean[1]:.2f}"


def _episode(setting: Setting, classes: Embedded, choices: Sequence[int], rng: np.random.Generator) -> tuple[float, ...]:
    """Returns the figures of one task, shares of one.

    They are left-out and held-out accuracy, whether the interval contains the latter, its width, the share of examples that are
    further shots of a thing, and three gains.
    """
    counts = rng.choice(choices, _WAYS)
    chosen = rng.choice(len(classes.by_class), _WAYS, replace=False)
    drawn = [rng.permutation(classes.by_class[k])[: count + _MORE + _HELD_OUT] for k, count in zip(chosen, counts, strict=True)]
    support = np.concatenate([images[:count] for images, count in zip(drawn, counts, strict=True)])
    labels = np.repeat(np.arange(_WAYS), counts)
    others = [classes.embeddings[images[count:]] for images, count in zip(drawn, counts, strict=True)]

    examples = classes.embeddings[support]
    options = options_for(setting.bundle.manifest.head, None, examples, labels, setting.bundle.feature_mean)
    groups = bursts(setting.space.features(examples, centre=False), labels, setting.burst_similarity)
    left_out = leave_one_out(setting.space.features(examples, options.centre), labels, _WAYS, options, groups)
    found, _ = tally(left_out, labels)
    held_out = _accuracy(setting, examples, labels, others)
    low, high = found.interval or (0.0, 1.0)
    rest = [of[_MORE:] for of in others]
    before = _accuracy(setting, examples, labels, rest)
    gains = []
    for k, more in enumerate(others):
        with_more = np.concatenate([examples, more[:_MORE]])
        gains.append(_accuracy(setting, with_more, np.append(labels, [k] * _MORE), rest) - before)
    share = held_out if found.accuracy is None else found.accuracy
    inside, merged = low <= held_out <= high, 1 - found.groups / len(labels)
    return (
        share,
        held_out,
        inside,
        high - low,
        merged,
        gains[int(wanting(left_out, labels).argmax())],
        float(np.mean(gains)),
        max(gains),
    )


def _accuracy(setting: Setting, support: Float32, labels: Labels, queries: Sequence[Float32]) -> float:
    """Returns the accuracy of the head that the server would fit, the mean over the classes, each of which has queries."""
    options = options_for(setting.bundle.manifest.head, None, support, labels, setting.bundle.feature_mean)
    head = fit_head(support, [str(label) for label in labels], setting.space, options)
    named = np.array([int(label) for label in head.labels])
    right = [(named[head.probabilities(of, setting.space).argmax(axis=1)] == label).mean() for label, of in enumerate(queries)]
    return float(np.mean(right))


if __name__ == "__main__":
    main()
