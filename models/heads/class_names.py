"""Class names as a prior for a head, where a bundle has a network that embeds text in the space of its images.

A name's embedding t_k, of norm one, scores an image by its cosine. So the two networks were trained (Radford et al., Learning
Transferable Visual Models From Natural Language Supervision, ICML 2021):

    names(x)_k = scale · ⟨f, t_k⟩,    f the features that the head reads

That is a linear layer too. So the names' answer and the head's are multiplied, one raised to a weight w:

    P(k | x) ∝ P_head(k | x) · exp(w · names(x)_k)

which is again one head: its weight is W + w T scale · t, T the head's temperature. It is the sum of logits of Tip-Adapter
(Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, ECCV 2022), with the head in the place of
its cache. A weight of 0 leaves the head as it is. While a class has no image, there is no head, and the names answer alone.

Names may say nothing ("class 1"). So w is chosen by leave-one-out. The names' scores do not depend on the examples. So the
left-out answers of the head alone judge every weight, exactly and for any solver.

Shape legend: n examples, K classes, D features, G groups of examples that are left out together.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from models.arrays import Floats, Ints, Reals
from models.heads.head import BackboneRef, Float32, Head, softmax
from models.heads.leave_one_out import LeftOut
from models.manifest import HeadOptions

WEIGHTS = (0.0, 0.125, 0.25, 0.5, 1.0)
"""The weights that are tried; at 1, the names count as much as they do alone."""

_CHANCE = 0.05  # of taking names that say nothing for useful ones, by the images of one task
_QUANTILES = {2: 2.920, 3: 2.353, 4: 2.132}  # of Student's t at 1 - _CHANCE, by degrees of freedom
_LEAST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True, eq=False)
class NamePrior:
    """The scores of an image by the names of K classes.

    Attributes:
        vectors: float32 (K, D), the names' embeddings, of norm one.
        scale: the factor of cosines that the bundle's networks were trained with, times the weight of the names.
    """

    vectors: Float32
    scale: float

    def weighed(self, weight: float) -> "NamePrior":
        """Returns the same at a weight, beside 1 of a head."""
        return NamePrior(self.vectors, weight * self.scale)

    def logits(self, features: Reals) -> Floats:
        """Returns the names' scores (n, K) of features (n, D)."""
        scores: Floats = self.scale * (features.astype(np.float64) @ self.vectors.T)
        return scores


def head_of_names(labels: Sequence[str], prior: NamePrior, options: HeadOptions, backbone: BackboneRef) -> Head:
    """Returns a head that answers softmax(⟨f, t_k⟩ / T) and knows no images; at T = 1 / scale, as the names alone do.

    Args:
        labels: K.
        options: of which the temperature and the centring count.
    """
    return Head(tuple(labels), prior.vectors, np.zeros(len(labels), np.float32), options, backbone)


def with_names(head: Head, prior: NamePrior | None) -> Head:
    """Returns a head with what the names of its labels say, in their order; without names the head itself."""
    if prior is None:
        return head
    share = np.float32(prior.scale * head.options.temperature)
    return replace(head, weight=head.weight + share * prior.vectors)


def left_out_with_names(left_out: LeftOut, features: Reals, prior: NamePrior | None) -> LeftOut:
    """Returns what heads `with_names` say of the examples that they were fitted without; without names what the heads say.

    Args:
        features: (n, D), as the heads read them.
    """
    if prior is None:
        return left_out
    return replace(left_out, probabilities=softmax(_logs(left_out.probabilities) + prior.logits(features), 1.0))


def name_weight(left_out: LeftOut, features: Reals, labels: Ints, prior: NamePrior, *, trusted: bool = False) -> float:
    """Returns the weight whose left-out answers are likeliest, if it beats a weight of 0 by more than chance explains.

    The gain in log-likelihood is averaged over the groups, and tested one-sided by Student's t. One further group is taken to
    gain nothing: few groups may all gain as much by chance, and would leave the test no variance. The head cannot judge a
    class's only group, so there the names stand against no knowledge at all.

    Args:
        features: (n, D), as the heads read them.
        labels: (n,) in [0, K).
        trusted: whether somebody relies on the names, so that they need not pass the test.
    """
    logs = _logs(np.where(left_out.judged[:, None], left_out.probabilities, 1.0))
    names, rows = prior.logits(features), np.arange(len(labels))
    losses = [-_logs(softmax(logs + weight * names, 1.0)[rows, labels]) for weight in WEIGHTS]
    sizes = np.bincount(left_out.groups)
    gains = [np.append(np.bincount(left_out.groups, losses[0] - each) / sizes, 0.0) for each in losses]
    best = int(np.argmax([each.mean() for each in gains]))
    error = gains[best].std(ddof=1) / math.sqrt(len(sizes) + 1)
    return WEIGHTS[best] if trusted or gains[best].mean() > _quantile(len(sizes)) * error else 0.0


def _logs(probabilities: Floats) -> Floats:
    """Returns the logarithms, finite also where a probability was rounded to nothing."""
    logs: Floats = np.log(np.maximum(probabilities, _LEAST))
    return logs


def _quantile(freedom: int) -> float:
    """Returns the quantile of Student's t at 95 %, to 1 %, for 2 degrees of freedom and more.

    Above 4 it is the expansion of Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    if freedom in _QUANTILES:
        return _QUANTILES[freedom]
    z = NormalDist().inv_cdf(1.0 - _CHANCE)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
