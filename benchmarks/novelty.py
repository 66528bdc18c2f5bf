"""Are strangers told from members? AUROC and refusals beside the probability and the nearest neighbours.

    python -m benchmarks.novelty --data part0.zip part1.zip part2.zip --drawings images_background_small1.zip --json novelty.json

5-way episodes of novel classes, each with 15 images of its classes (members) and 15 of each kind of stranger: of the other
novel classes, Omniglot drawings, pixels of uniform noise. Beside ours the highest probability of the head (Hendrycks & Gimpel,
ICLR 2017) and the cosines of the nearest support images (Sun et al., ICML 2022), all on the same features. AUROC
is that of an episode, in the mean. Ours refuses below its own threshold; the others below the one that refused 5 % of the
members of as many episodes of validation classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.command import write_json
from benchmarks.novel_classes import accuracy_parser, embed_part, interval, open_shipped
from models.bundle import Bundle
from models.engine import Engine, embed_all
from models.fitting import fit
from models.heads import Float32, features, softmax
from models.novelty import Background, NoveltyDetector, fit_detector
from models.preprocess import load_image
from models.support_index import SupportIndex
from models.temperature import options_for
from training.episodes import Embedded

_WAYS, _SHOTS, _EACH, _OTHERS, _STACK = 5, (1, 5), 3, 15, 50
_MOST, _SEED = 1000, 0
_NOVEL = "novel classes"
_REFUSED = 0.05

Floats = NDArray[np.floating]
Scores = dict[str, Floats]
"""By kind of image, (T, 15) each: how sure a detector is that they are members."""


@dataclass(frozen=True)
class Row:
    """A detector against a kind of stranger; shares of one."""

    shots: int
    strangers: str
    detector: str
    auroc: float
    auroc_ci95: float
    refused_members: float
    refused_strangers: float


def main() -> None:
    parser = accuracy_parser("novelty", __doc__, episodes=1000)
    parser.add_argument(
        "--drawings", type=Path, nargs="+", required=True, metavar="ZIP", help="Omniglot, as its author publishes it"
    )
    arguments = parser.parse_args()
    bundle, engine = open_shipped(arguments)
    others = _others(arguments.drawings, bundle, engine)
    parts = [embed_part(arguments, bundle, engine, part) for part in ("validation", "test")]
    print(f"{'shots':>5}  {'strangers':<15}{'detector':<26}{'AUROC %':>16}{'members refused':>17}{'strangers refused':>19}")
    rows = []
    for shots in _SHOTS:
        validation, novel = (score(bundle, part, others, shots, arguments.episodes, arguments.seed) for part in parts)
        for strangers in (_NOVEL, *others):
            for name, scores in novel.items():
                threshold = 0.0 if name.startswith("ours") else np.quantile(validation[name][""], _REFUSED)
                members, strange = scores[""], scores[strangers]
                auroc = (members[:, :, None] > strange[:, None]).mean(axis=(1, 2)) + 0.5 * (
                    members[:, :, None] == strange[:, None]
                ).mean(axis=(1, 2))
                refused = float((members < threshold).mean()), float((strange < threshold).mean())
                row = Row(shots, strangers, name, float(auroc.mean()), interval(auroc), *refused)
                rows.append(row)
                figures = f"{100 * row.auroc:.2f} ± {100 * row.auroc_ci95:.2f}"
                shares = f"{100 * row.refused_members:>15.1f} %{100 * row.refused_strangers:>17.1f} %"
                print(f"{shots:>5}  {strangers:<15}{name:<26}{figures:>16}{shares}", flush=True)
    write_json(arguments.json, {"bundle": bundle.id, "engine": engine.kind, "rows": [asdict(row) for row in rows]})


def score(
    bundle: Bundle, classes: Embedded, others: dict[str, Float32], shots: int, episodes: int, seed: int
) -> dict[str, Scores]:
    """By detector; ours less its threshold. Members are the images of no name."""
    background = Background.of(bundle.background, bundle.feature_mean)
    labels = np.repeat(np.arange(_WAYS), shots)
    found: dict[str, dict[str, list[Floats]]] = {}
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, episodes, _STACK):
            indices = range(start, min(start + _STACK, episodes))
            drawn = [_episode(classes, others, shots, np.random.default_rng((seed, shots, index))) for index in indices]
            support_TnD = np.stack([support for support, _ in drawn])
            detector = fit_detector(support_TnD, labels, background)
            indexes = [SupportIndex.of(support_nD, labels, background) for support_nD in support_TnD]
            probability = _probability(bundle, support_TnD, labels)
            for kind in drawn[0][1]:
                images_TQD = np.stack([queries[kind] for _, queries in drawn])
                cosines = np.sort(features(images_TQD, None) @ features(support_TnD, None).mT, axis=-1)
                scores = {
                    "ours": _beyond(detector, images_TQD, background),
                    "ours, as served": _as_served(indexes, images_TQD, background),
                    "highest probability": probability(images_TQD),
                    "nearest neighbour": cosines[..., -1],
                    "third nearest": cosines[..., -3],
                    "mean of three nearest": cosines[..., -3:].mean(axis=-1),
                }
                for name, values in scores.items():
                    found.setdefault(name, {}).setdefault(kind, []).append(values)
    return {name: {kind: np.concatenate(parts) for kind, parts in kinds.items()} for name, kinds in found.items()}


def _beyond(detector: NoveltyDetector, images: Float32, background: Background) -> Floats:
    return detector.familiarity(images, background) - detector.threshold[:, None]


def _as_served(indexes: Sequence[SupportIndex], images: Float32, background: Background) -> Floats:
    found = [index.search(images_QD, background, 1).novelty for index, images_QD in zip(indexes, images, strict=True)]
    return 0.5 - np.stack(found)


def _probability(bundle: Bundle, support_TnD: Float32, labels: NDArray[np.int64]) -> Callable[[Float32], Floats]:
    """The highest probability of each query under the default head of its task."""
    options = bundle.manifest.head.options()
    mean = bundle.feature_mean if options.centre else None
    each = [options_for(bundle.manifest.head, None, support_nD, labels, bundle.feature_mean) for support_nD in support_TnD]
    temperatures = np.array([found.temperature for found in each])[:, None, None]
    linear = fit(features(support_TnD, mean), np.tile(labels, (len(support_TnD), 1)), _WAYS, options)

    def highest(images_TQD: Float32) -> Floats:
        scores = features(images_TQD, mean) @ linear.weight.mT + linear.bias[:, None]
        return np.asarray(softmax(scores, temperatures).max(axis=-1))

    return highest


def _episode(
    classes: Embedded, others: dict[str, Float32], shots: int, rng: np.random.Generator
) -> tuple[Float32, dict[str, Float32]]:
    """The support set (n, D), and 15 images of each kind."""
    order = rng.permutation(len(classes.by_class))
    images = np.stack([rng.choice(classes.by_class[k], shots + _EACH, replace=False) for k in order[:_WAYS]])
    strangers = rng.choice(np.concatenate([classes.by_class[k] for k in order[_WAYS:]]), _OTHERS, replace=False)
    queries = {"": classes.embeddings[images[:, shots:].ravel()], _NOVEL: classes.embeddings[strangers]}
    queries |= {name: rng.choice(embeddings, _OTHERS, replace=False) for name, embeddings in others.items()}
    return classes.embeddings[images[:, :shots].ravel()], queries


def _others(drawings: Sequence[Path], bundle: Bundle, engine: Engine) -> dict[str, Float32]:
    """Embeddings of what is no photograph."""
    spec, rng = bundle.manifest.input, np.random.default_rng(_SEED)
    files = []
    for path in drawings:
        with ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            files += [archive.read(name) for name in rng.permutation(names)[: _MOST // len(drawings)]]
    noise = rng.integers(0, 256, (_MOST, spec.height, spec.width, 3), dtype=np.uint8)
    pictures = np.stack([load_image(file, spec) for file in files])
    return {"drawings": embed_all(engine, pictures), "noise": embed_all(engine, noise)}


if __name__ == "__main__":
    main()
