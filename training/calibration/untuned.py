"""Head defaults for a network with too few labelled images to choose any for.

They were chosen for the shipped network on several kinds of photograph, and are scaled. Scores follow the cosines between
features, and so does the temperature that calibrates the probabilities. The spread of cosines differs from network to network,
and can be measured on unlabelled images.
"""

import math
from dataclasses import dataclass
from typing import get_args

import numpy as np

from models.bundle import DEFAULT_BUNDLE, SHIPPED, find_bundles, open_bundle
from models.heads.head import Float32, features
from models.heads.temperature import Law
from models.manifest import HeadDefaults, NoveltyLaw, Solver, SupportLaw, TemperatureLaw
from training.calibration.scoring import Say

LEAST_IMAGES = 50  # for statistics; see decision 0036

_SAMPLE = 1000
_SEED = 1


def untuned_heads(embeddings: Float32, mean: Float32, say: Say) -> HeadDefaults:
    """Returns defaults for a network with such embeddings (N, D), whose mean is `mean` (D,).

    Args:
        say: receives a description of the choice.
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
    now, there = cosines_of(embeddings, mean), cosines_of(bundle.background, bundle.feature_mean)
    factor = now[True].spread / there[True].spread
    say(f"  temperatures times {factor:.2f}, since cosines between this network's features vary so many times as much as there")
    return scaled(heads, factor, there, now)


@dataclass(frozen=True)
class Cosines:
    """The mean and the standard deviation of the cosines between the features of different images."""

    mean: float
    spread: float


def cosines_of(embeddings: Float32, mean: Float32) -> dict[bool, Cosines]:
    """Returns the cosines of a sample of the embeddings (N, D), centred (True) and not (False)."""
    sample = np.random.default_rng(_SEED).permutation(len(embeddings))[:_SAMPLE]
    found = {}
    for centre in (True, False):
        space = features(embeddings[sample], mean if centre else None)
        cosines = (space @ space.T)[np.triu_indices(len(space), 1)]
        found[centre] = Cosines(float(np.mean(cosines)), float(np.std(cosines)))
    return found


def scaled(heads: HeadDefaults, factor: float, there: dict[bool, Cosines], now: dict[bool, Cosines]) -> HeadDefaults:
    """Returns the options with every temperature `factor` times as high.

    Laws of temperature keep their form. A novelty law's constants in cosines scale with the factor too.

    Args:
        there, now: the cosines of the options' own network and of this one, centred and not. They map a law of cosines from that
            network to this one.
    """
    changes: dict[str, object] = {}
    for solver in get_args(Solver):
        options = heads.options(solver)
        changes[solver] = options.model_copy(update={"temperature": options.temperature * factor})
    if (laws := heads.temperatures) is not None:
        carried: dict[str, Law] = {}
        for solver in get_args(Solver):
            if (law := laws.of(solver)) is not None:
                centred = heads.options(solver).centre
                carried[solver] = _carried(law, math.log(factor), there[centred], now[centred])
        changes["temperatures"] = laws.model_copy(update=carried)
    if (novelty := heads.novelty) is not None:
        in_cosines = {"kappa": novelty.kappa / factor, "floor": novelty.floor * factor, "gain": novelty.gain * factor}
        changes["novelty"] = NoveltyLaw.model_validate(novelty.model_dump() | in_cosines)
    return heads.model_copy(update=changes)


def _carried(law: Law, by: float, there: Cosines, now: Cosines) -> Law:
    """Returns a temperature law for this network, from one of another network.

    `by` is added to log T. A cosine here counts as the one there that is as many deviations from the mean.
    """
    if isinstance(law, TemperatureLaw):
        return law.model_copy(update={"intercept": law.intercept + by})
    narrower = there.spread / now.spread
    shift = there.mean - now.mean * narrower
    single, several = law.single, law.several
    terms = {name: getattr(single, name) * narrower for name in ("between", "nearest", "nearest_log_ways")}
    terms["intercept"] = single.intercept + by + (single.between + single.nearest) * shift
    terms["log_ways"] = single.log_ways + single.nearest_log_ways * shift
    others = {
        "intercept": several.intercept + by - several.log_likeliest * by,  # the likeliest T of cosines rises by as much
        "apart": several.apart * narrower,
    }
    return SupportLaw(single=single.model_copy(update=terms), several=several.model_copy(update=others))
