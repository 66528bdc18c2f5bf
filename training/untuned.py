"""Head defaults for a network that there are too few labelled images to choose any for.

They were chosen for the shipped network on several kinds of photograph, and are scaled. Scores go up and down with the cosines
between features, and so does the temperature under which probabilities are honest. How much cosines vary differs from network to
network, and can be measured on images that nobody has labelled.
"""

import math
from typing import get_args

import numpy as np

from models.bundle import DEFAULT_BUNDLE, SHIPPED, find_bundles, open_bundle
from models.heads import Float32, features
from models.manifest import HeadDefaults, NoveltyLaw, Solver, TemperatureLaw
from training.scoring import Say

LEAST_IMAGES = 50  # for statistics; see docs/decisions.md

_SAMPLE = 1000
_SEED = 1


def untuned_heads(embeddings: Float32, mean: Float32, say: Say) -> HeadDefaults:
    """Defaults for a network with such embeddings (N, D), whose mean is `mean` (D,).

    Args:
        say: receives in words what was done.
    """
    bundle = open_bundle(find_bundles(SHIPPED)[DEFAULT_BUNDLE])
    heads = bundle.manifest.head
    say(
        f"head defaults: those of {DEFAULT_BUNDLE}, chosen on several kinds of photograph, since to choose them takes 5 classes "
        "of 20 images"
    )
    if len(embeddings) < LEAST_IMAGES:
        say(f"  not scaled to this network, since that takes {LEAST_IMAGES} images")
        return heads
    factor = spread(embeddings, mean) / spread(bundle.background, bundle.feature_mean)
    say(f"  temperatures times {factor:.2f}, since cosines between this network's features vary so many times as much as there")
    return scaled(heads, factor)


def spread(embeddings: Float32, mean: Float32) -> float:
    """The standard deviation of the cosines between the centred features of different images, of a sample of them."""
    sample = np.random.default_rng(_SEED).permutation(len(embeddings))[:_SAMPLE]
    space = features(embeddings[sample], mean)
    return float(np.std((space @ space.T)[np.triu_indices(len(space), 1)]))


def scaled(heads: HeadDefaults, factor: float) -> HeadDefaults:
    """The same options with every temperature `factor` times as high; laws of ways and shots keep their form, and a law of
    strangers counts in cosines as much wider or narrower.
    """
    changes: dict[str, object] = {}
    for solver in get_args(Solver):
        options = heads.options(solver)
        changes[solver] = options.model_copy(update={"temperature": options.temperature * factor})
    if (laws := heads.temperatures) is not None:
        shifted = {s: _shifted(laws.of(s), math.log(factor)) for s in get_args(Solver)}
        changes["temperatures"] = laws.model_copy(update=shifted)
    if (law := heads.novelty) is not None:
        in_cosines = {"kappa": law.kappa / factor, "floor": law.floor * factor, "gain": law.gain * factor}
        changes["novelty"] = NoveltyLaw.model_validate(law.model_dump() | in_cosines)
    return heads.model_copy(update=changes)


def _shifted(law: TemperatureLaw, by: float) -> TemperatureLaw:
    return law.model_copy(update={"intercept": law.intercept + by})
