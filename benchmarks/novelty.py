"""Are strangers told from members, on pictures of many kinds? Beside the nearest neighbour and the highest probability.

    python -m benchmarks.novelty --data DATA --keep kept --json novelty.json

5-way episodes of each domain's novel classes, with 15 images of the task's classes (members), 15 of the domain's other novel
classes and 15 of other domains. Ours has a law fitted on the validation classes of the *other* domains, as `calibrate` would;
`without a law` is what serves where a bundle has none. Beside them the highest probability of the head (Hendrycks & Gimpel, ICLR
2017) and the cosine of the nearest support image (Sun et al., ICML 2022), on the same features. AUROC is that of an episode, in
the mean; refusals are below the task's own threshold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, open_embedder, parts
from benchmarks.accuracy.domain_data import DOMAINS, Domain, Embedder
from benchmarks.accuracy.novel_classes import interval
from benchmarks.shared.command import write_json
from models.bundle import Bundle
from models.heads.fitting import fit
from models.heads.head import Float32, features, softmax
from models.heads.temperature import options_for
from models.manifest import NoveltyLaw
from models.novelty.detector import Background, fit_detector
from training.calibration.novelty import tune_novelty
from training.evaluation.episodes import Embedded

_WAYS, _SHOTS, _EACH, _OTHERS, _STACK = 5, (1, 5, 10), 3, 15, 25

Floats = NDArray[np.floating]
Scores = dict[str, Floats]
"""By kind of image, (T, 15) each: a detector's score for members; ours minus its threshold. Members have the kind ""."""


@dataclass(frozen=True)
class Row:
    """A detector on a domain; shares of one. `refused` are members, and strangers of the two kinds; None without a threshold."""

    domain: str
    shots: int
    detector: str
    auroc_same: float
    auroc_same_ci95: float
    auroc_other: float
    auroc_other_ci95: float
    refused: tuple[float, float, float] | None


def main(argv: Sequence[str] | None = None) -> None:
    arguments = domain_parser("novelty", __doc__, episodes=400).parse_args(argv)
    embedder = open_embedder(arguments)
    chosen = dict(parts(arguments))
    novel = {domain.name: embedder.embed(domain, part) for domain, part in chosen.items()}
    heading = f"{'AUROC %, same':>16}{'other':>16}{'refused: members':>19}{'same':>8}{'other':>8}"
    print(f"{'domain':<12}{'shots':>6}  {'detector':<20}{heading}", flush=True)
    rows = []
    for domain in chosen:
        law = _law_without(domain.name if domain in _tuned(embedder) else "", embedder)
        others = np.concatenate(
            [each.embeddings for name, each in novel.items() if name != domain.name] or [np.empty((0, 1), np.float32)]
        )
        for shots in _SHOTS:
            with threadpool_limits(1, user_api="blas"):
                found = score(embedder.bundle, law, novel[domain.name], others, shots, arguments.episodes, arguments.seed)
            for row in _rows(domain.name, shots, found):
                rows.append(row)
                print(_written(row), flush=True)
    write_json(arguments.json, {"bundle": embedder.bundle.id, "rows": [asdict(row) for row in rows]})


def _tuned(embedder: Embedder) -> list[Domain]:
    """Domains with validation classes."""
    return [domain for domain in DOMAINS if domain.read_split(embedder.data).classes("validation")]


@cache
def _law_without(left_out: str, embedder: Embedder) -> NoveltyLaw:
    datasets = [embedder.embed(domain, "validation") for domain in _tuned(embedder) if domain.name != left_out]
    law = tune_novelty(datasets, embedder.bundle.background)
    assert law is not None
    return law


def score(
    bundle: Bundle, law: NoveltyLaw, classes: Embedded, others: Float32, shots: int, episodes: int, seed: int
) -> dict[str, Scores]:
    """Returns the scores by detector."""
    named = {"ours": law, "without a law": None}
    backgrounds = {name: Background.of(bundle.background, bundle.feature_mean, law) for name, law in named.items()}
    labels = np.repeat(np.arange(_WAYS), shots)
    options = bundle.manifest.head.options()
    mean = bundle.feature_mean if options.centre else None
    found: dict[str, dict[str, list[Floats]]] = {}
    for start in range(0, episodes, _STACK):
        indices = range(start, min(start + _STACK, episodes))
        drawn = [_episode(classes, others, shots, np.random.default_rng((seed, shots, index))) for index in indices]
        support = np.stack([each for each, _ in drawn])
        detectors = {name: fit_detector(support, labels, background) for name, background in backgrounds.items()}
        chosen = [options_for(bundle.manifest.head, None, support_nD, labels, bundle.feature_mean) for support_nD in support]
        temperatures = np.array([task.temperature for task in chosen])[:, None, None]
        head = fit(features(support, mean), np.tile(labels, (len(support), 1)), _WAYS, options)
        for kind in drawn[0][1]:
            images = np.stack([queries[kind] for _, queries in drawn])
            logits = features(images, mean) @ head.weight.mT + head.bias[:, None]
            scores = {
                name: detector.familiarity(images, backgrounds[name]) - detector.threshold[:, None]
                for name, detector in detectors.items()
            } | {
                "highest probability": np.asarray(softmax(logits, temperatures).max(axis=-1)),
                "nearest neighbour": (features(images, None) @ features(support, None).mT).max(axis=-1),
            }
            for name, values in scores.items():
                found.setdefault(name, {}).setdefault(kind, []).append(values)
    return {name: {kind: np.concatenate(parts) for kind, parts in kinds.items()} for name, kinds in found.items()}


def _episode(classes: Embedded, others: Float32, shots: int, rng: np.random.Generator) -> tuple[Float32, dict[str, Float32]]:
    """Returns the support set (n, D), and images of each kind: 3 of each class, and 15 of each kind of stranger."""
    order = rng.permutation([k for k, images in enumerate(classes.by_class) if len(images) >= shots + _EACH])
    images = np.stack([rng.choice(classes.by_class[k], shots + _EACH, replace=False) for k in order[:_WAYS]])
    strangers = rng.choice(np.concatenate([classes.by_class[k] for k in order[_WAYS:]]), _OTHERS, replace=False)
    queries = {"": classes.embeddings[images[:, shots:].ravel()], "same": classes.embeddings[strangers]}
    if len(others):
        queries["other"] = others[rng.choice(len(others), _OTHERS, replace=False)]
    return classes.embeddings[images[:, :shots].ravel()], queries


def _rows(domain: str, shots: int, found: dict[str, Scores]) -> Iterator[Row]:
    for name, scores in found.items():
        kinds = [scores["same"], scores.get("other", scores["same"])]
        of_kinds = [auroc(scores[""], strangers) for strangers in kinds]
        shares = [float((each < 0).mean()) for each in (scores[""], *kinds)]
        refused = (shares[0], shares[1], shares[2]) if name in ("ours", "without a law") else None
        (same, same_ci95), (other, other_ci95) = ((float(each.mean()), interval(each)) for each in of_kinds)
        yield Row(domain, shots, name, same, same_ci95, other, other_ci95, refused)


def auroc(members: Floats, strangers: Floats) -> Floats:
    """Returns how often a member scores above a stranger, (T,), ties counting half."""
    above: Floats = (members[:, :, None] > strangers[:, None]).mean(axis=(1, 2))
    ties: Floats = (members[:, :, None] == strangers[:, None]).mean(axis=(1, 2))
    return above + 0.5 * ties


def _written(row: Row) -> str:
    same = f"{100 * row.auroc_same:.2f} ± {100 * row.auroc_same_ci95:.2f}"
    other = f"{100 * row.auroc_other:.2f} ± {100 * row.auroc_other_ci95:.2f}"
    shares = "".join(f"{100 * share:>{width}.1f}" for share, width in zip(row.refused or (), (19, 8, 8), strict=False))
    return f"{row.domain:<12}{row.shots:>6}  {row.detector:<20}{same:>16}{other:>16}{shares}"


if __name__ == "__main__":
    main()
