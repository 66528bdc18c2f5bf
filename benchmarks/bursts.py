"""Are several shots of one thing told from different things, and what does leave-one-out say of them?

    python -m benchmarks.bursts --data DATA --json bursts.json

Shots are made from photographs, four of each: it is turned, cropped, blurred, made brighter or darker a little. Tasks have five
of each domain's novel classes, with so many things and so many shots of each. `found` is the share of pairs of shots of one
thing that are grouped. `wrongly` is that share for pairs of two things of a class. `one session` is the share of classes that
are called one session, which is right where there is one thing.

Then come the accuracy on other things of the same classes, and leave-one-out's estimate of it: with each shot left out by
itself, and with whole things left out. The last figure is how often the interval of the latter contains the accuracy. Sets
without further shots come first.
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from threadpoolctl import threadpool_limits

from benchmarks.accuracy.domain_arguments import domain_parser, open_embedder, parts
from benchmarks.accuracy.domain_data import Domain, Embedder
from benchmarks.shared.command import write_json
from models.engine import embed_all
from models.examples.bursts import bursts, least_similarity
from models.heads.fitting import fit_head
from models.heads.head import Float32, features
from models.heads.leave_one_out import leave_one_out
from models.heads.temperature import options_for
from server.journeys.tally import tally
from training.data.class_split import Part
from training.data.loading import load_images

_WAYS, _CLASSES, _IMAGES, _SHOTS = 5, 10, 16, 4
_TASKS = ((5, 1), (10, 1), (1, 4), (2, 2), (3, 3), (5, 2))  # things of a class, and shots of each
_HEADS = ("found", "wrongly", "one session", "true", "one by one", "by things", "inside")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """Tasks of so many things a class and shots of each, in percent; NaN where nothing can be told."""

    domain: str
    things: int
    shots: int
    found: float
    wrongly: float
    one_session: float
    held_out: float
    one_by_one: float
    by_things: float
    inside: float


def main() -> None:
    arguments = domain_parser("bursts", __doc__, episodes=100).parse_args()
    embedder = open_embedder(arguments)
    rows = []
    print(f"{'domain':<14}{'things':>7}{'shots':>6}" + "".join(f"{head:>13}" for head in _HEADS))
    with threadpool_limits(1, user_api="blas"):
        for domain, part in parts(arguments):
            shots = _shots(embedder, domain, part, np.random.default_rng(arguments.seed))
            for task in _TASKS:
                seeds = [(arguments.seed, *task, episode) for episode in range(arguments.episodes)]
                figures = np.array([_episode(embedder, shots, *task, np.random.default_rng(seed)) for seed in seeds])
                known = ~np.isnan(figures)
                means = np.where(known, figures, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
                row = Row(domain.name, *task, *(100 * means).tolist())
                rows.append(row)
                print(
                    f"{row.domain:<14}{row.things:>7}{row.shots:>6}" + "".join(f"{x:>13.1f}" for x in astuple(row)[3:]),
                    flush=True,
                )
    document = {"bundle": embedder.bundle.id, "engine": embedder.engine.kind, "rows": [asdict(row) for row in rows]}
    write_json(arguments.json, document)


def _shots(embedder: Embedder, domain: Domain, part: Part, rng: np.random.Generator) -> list[Float32]:
    """Returns, for up to ten classes, the embeddings of some images and of shots of each, (images, shots, D)."""
    classes = domain.read_split(embedder.data).classes(part)
    embeddings = []
    for name in rng.permutation(classes)[:_CLASSES]:
        images = load_images(domain.paths(embedder.data), [str(name)], embedder.spec).first_per_class(_IMAGES).images
        if len(images) == _IMAGES:
            pixels = np.stack([shot for image in images for shot in (image, *(_shot(image, rng) for _ in range(_SHOTS - 1)))])
            embeddings.append(embed_all(embedder.engine, pixels).reshape(_IMAGES, _SHOTS, -1))
    return embeddings


def _shot(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Returns the same thing a moment later."""
    height, width = pixels.shape[:2]
    fill = tuple(np.median(pixels, axis=(0, 1)).astype(int).tolist())
    image = Image.fromarray(pixels).rotate(rng.uniform(-6, 6), Image.Resampling.BICUBIC, fillcolor=fill)
    scale, x, y = rng.uniform(0.82, 1.0), rng.random(), rng.random()
    left, top = x * (1 - scale) * width, y * (1 - scale) * height
    box = (left, top, left + scale * width, top + scale * height)
    image = image.resize((width, height), Image.Resampling.BICUBIC, box=box)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.8, 1.25))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.85, 1.15))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0, width / 160))))


def _episode(embedder: Embedder, classes: Sequence[Float32], things: int, shots: int, rng: np.random.Generator) -> list[float]:
    """Returns the figures of one task, shares of one, in the order of `Row`."""
    chosen = [classes[k] for k in rng.choice(len(classes), _WAYS, replace=False)]
    orders = [rng.permutation(_IMAGES) for _ in chosen]
    support = np.concatenate(
        [of[order[:things], :shots].reshape(things * shots, -1) for of, order in zip(chosen, orders, strict=True)]
    )
    labels = np.repeat(np.arange(_WAYS), things * shots)
    thing = np.repeat(np.arange(_WAYS * things), shots)

    space, manifest = embedder.engine.space, embedder.bundle.manifest
    options = options_for(manifest.head, None, support, labels, embedder.bundle.feature_mean)
    least = least_similarity(features(embedder.bundle.background, None))
    groups = bursts(space.features(support, centre=False), labels, least)
    of_heads = space.features(support, options.centre)
    by_things, one_by_one = (leave_one_out(of_heads, labels, _WAYS, options, each) for each in (groups, None))
    (found, of_classes), (alone, _) = tally(by_things, labels), tally(one_by_one, labels)

    head = fit_head(support, [str(label) for label in labels], space, options)
    others = [head.probabilities(of[order[things:], 0], space) for of, order in zip(chosen, orders, strict=True)]
    held_out = float(np.mean([head.labels[k] == str(label) for label, of in enumerate(others) for k in of.argmax(axis=1)]))

    together, same = groups[:, None] == groups, thing[:, None] == thing
    pairs = np.triu(np.ones_like(same), 1).astype(bool)
    return [
        _share(together[pairs & same]),
        _share(together[pairs & ~same & (labels[:, None] == labels)]),
        float(np.mean([each.judged == 0 for each in of_classes])),
        held_out,
        np.nan if alone.accuracy is None else alone.accuracy,
        np.nan if found.accuracy is None else found.accuracy,
        np.nan if found.interval is None else float(found.interval[0] <= held_out <= found.interval[1]),
    ]


def _share(marks: NDArray[np.bool_]) -> float:
    return float(marks.mean()) if len(marks) else np.nan


if __name__ == "__main__":
    main()
