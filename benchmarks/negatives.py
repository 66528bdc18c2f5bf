"""Are strangers told better where a task has images of none of its classes?

    python -m benchmarks.negatives --data DATA --keep kept --json negatives.json

5-way episodes of each domain's novel classes: 15 images of the task's classes (members) and 3 of each of up to five other novel
classes (strangers). A task has no negatives, or 5 or 10 of the strangers' own kind: further images of the same classes. Or it has
5 of another kind: of the domain's remaining classes, or of other domains. The detector is the one that serves, with the bundle's
own law. All kinds judge the same images. AUROC is that of an episode, in the mean. `at 5 %` are strangers refused where 5 % of
all members are: each image counts by its familiarity less its task's threshold. `refused` is at the threshold that serves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, open_embedder, parts
from benchmarks.accuracy.novel_classes import interval
from benchmarks.novelty import Floats, auroc
from benchmarks.shared.command import write_json
from models.heads.head import Float32
from models.novelty.detector import Background, fit_detector
from models.novelty.thresholds import REFUSED
from training.evaluation.episodes import Embedded

_WAYS, _SHOTS, _EACH, _STACK = 5, (1, 5, 10), 3, 25
_FEW, _MORE = 5, 10  # negatives


@dataclass(frozen=True)
class Row:
    """A kind of negatives on a domain; shares of one. `gain` and its interval are of the AUROC, beside the same tasks without
    negatives."""

    domain: str
    shots: int
    negatives: str
    auroc: float
    gain: float
    gain_ci95: float
    refused_at_5: float
    members_refused: float
    strangers_refused: float


def main(argv: Sequence[str] | None = None) -> None:
    arguments = domain_parser("negatives", __doc__, episodes=400).parse_args(argv)
    embedder = open_embedder(arguments)
    bundle = embedder.bundle
    background = Background.of(bundle.background, bundle.feature_mean, bundle.manifest.head.novelty)
    found = {domain.name: embedder.embed(domain, part) for domain, part in parts(arguments)}
    heading = f"{'AUROC %':>9}{'gain':>15}{'at 5 %':>9}{'refused: members':>19}{'strangers':>11}"
    print(f"{'domain':<12}{'shots':>6}  {'negatives':<16}{heading}", flush=True)
    rows = []
    for name, classes in found.items():
        elsewhere = [each.embeddings for other, each in found.items() if other != name]
        others = np.concatenate(elsewhere) if elsewhere else None
        for shots in _SHOTS:
            with threadpool_limits(1, user_api="blas"):
                scores = score(background, classes, others, shots, arguments.episodes, arguments.seed)
            for row in _rows(name, shots, scores):
                rows.append(row)
                print(_written(row), flush=True)
    write_json(arguments.json, {"bundle": bundle.id, "rows": [asdict(row) for row in rows]})


def score(
    background: Background, classes: Embedded, others: Float32 | None, shots: int, episodes: int, seed: int
) -> dict[str, tuple[Floats, Floats]]:
    """Returns by kind of negatives the familiarity less the threshold of members and of strangers, (episodes, …) each.

    Args:
        others: embeddings of images of other domains, if there are any.
    """
    labels = np.repeat(np.arange(_WAYS), shots)
    found: dict[str, list[tuple[Floats, Floats]]] = {}
    for start in range(0, episodes, _STACK):
        indices = range(start, min(start + _STACK, episodes))
        drawn = [_episode(classes, others, shots, np.random.default_rng((seed, shots, index))) for index in indices]
        support = np.stack([each for each, *_ in drawn])
        members, strangers = np.stack([each for _, each, *_ in drawn]), np.stack([each for *_, each, _ in drawn])
        for kind in drawn[0][3]:
            negatives = np.stack([each[3][kind] for each in drawn])
            detector = fit_detector(support, labels, background, negatives)
            margins = [detector.familiarity(each, background) - detector.threshold[:, None] for each in (members, strangers)]
            found.setdefault(kind, []).append((margins[0], margins[1]))
    return {
        kind: (np.concatenate([each for each, _ in stacks]), np.concatenate([each for _, each in stacks]))
        for kind, stacks in found.items()
    }


def _episode(
    classes: Embedded, others: Float32 | None, shots: int, rng: np.random.Generator
) -> tuple[Float32, Float32, Float32, dict[str, Float32]]:
    """Returns the support set (n, D), members, strangers, and negatives by their kind."""
    x = classes.embeddings
    order = rng.permutation([k for k, images in enumerate(classes.by_class) if len(images) >= max(shots, _MORE) + _EACH])
    own, strange, rest = order[:_WAYS], order[_WAYS : 2 * _WAYS], order[2 * _WAYS :]
    images = np.stack([rng.choice(classes.by_class[k], shots + _EACH, replace=False) for k in own])
    strangers = np.stack([rng.choice(classes.by_class[k], _EACH + _MORE, replace=False) for k in strange])
    further = strangers[:, _EACH:].T.ravel()  # as many of each class, or nearly
    negatives = {"none": x[:0], "5 of their kind": x[further[:_FEW]], "10 of their kind": x[further[:_MORE]]}
    if len(rest):
        negatives["5 of other classes"] = x[rng.choice(np.concatenate([classes.by_class[k] for k in rest]), _FEW, replace=False)]
    if others is not None:
        negatives["5 of other pictures"] = others[rng.choice(len(others), _FEW, replace=False)]
    return x[images[:, :shots].ravel()], x[images[:, shots:].ravel()], x[strangers[:, :_EACH].ravel()], negatives


def _rows(domain: str, shots: int, scores: dict[str, tuple[Floats, Floats]]) -> Iterator[Row]:
    without = auroc(*scores["none"])
    for kind, (members, strangers) in scores.items():
        of_episodes = auroc(members, strangers)
        gains = of_episodes - without
        at_5 = float((strangers < np.quantile(members, REFUSED)).mean())
        shares = [float((each < 0).mean()) for each in (members, strangers)]
        yield Row(domain, shots, kind, float(of_episodes.mean()), float(gains.mean()), interval(gains), at_5, *shares)


def _written(row: Row) -> str:
    gain = f"{100 * row.gain:+.2f} ± {100 * row.gain_ci95:.2f}"
    return (
        f"{row.domain:<12}{row.shots:>6}  {row.negatives:<20}{100 * row.auroc:>5.1f}{gain:>15}{100 * row.refused_at_5:>9.1f}"
        f"{100 * row.members_refused:>19.1f}{100 * row.strangers_refused:>11.1f}"
    )


if __name__ == "__main__":
    main()
