"""Is a query one of a task's classes at all, or a stranger?

The head's probabilities cannot tell: they sum to one over the task's classes, whatever the image. Two things can, each blind to
what the other sees:

    resemblance(q) = 1/κ · log mean_k exp(κ cos(q, m_k))    to the class means m_k, of features centred on 3/4 μ
    typicality(q) = ⟨f, ḡ⟩                                  of the feature f, not centred, to the mean ḡ of the background's
    familiarity(q) = resemblance(q) + w · min(0, typicality(q) − t)

Centring on μ, the base classes' mean, takes from the cosines what all photographs share, so that they tell classes apart, and
drawings or noise hardly from anything; what all share is what typicality measures. It counts only where it is below t, what is
usual: the median of the background, or the mean of the task's own examples if that is less, since a task may be about drawings.
The smooth maximum is the likelihood of a mixture of equal von Mises-Fisher densities (Banerjee et al., JMLR 2005). All
constants were chosen on the validation classes of CIFAR-FS.

Shape legend: T tasks (any leading dimensions, or none), n examples of a task, Q queries, D features, K classes, M background.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads import Float32, features

_CENTRING, _KAPPA, _WEIGHT = 0.75, 10.0, 2.0

# How far, in deviations of the background's familiarity, that of members lies above it and varies: of 1-shot tasks.
_MEMBERS_MEAN, _MEMBERS_DEVIATION = 0.92, 0.91
_PRIOR = 5  # examples
_WIDTH = 0.05  # of the threshold, in familiarity

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What is known of images of no task in particular; one per bundle.

    Attributes:
        centre: (D,) 3/4 of the bundle's feature mean.
        features: (M, D) of the bundle's background, centred on it.
        direction: (D,) ḡ, the mean of the features that are not centred.
        typicality: (M,) the background's own.
    """

    centre: Float32
    features: Float32
    direction: Float32
    typicality: Float32

    @classmethod
    def of(cls, embeddings: Float32, mean: Float32) -> "Background":
        """Of a bundle's `background` (M, D) and `feature_mean` (D,)."""
        plain = features(embeddings, None)
        direction = plain.mean(axis=0)
        centre = np.float32(_CENTRING) * mean
        return cls(centre, features(embeddings, centre), direction, plain @ direction)


@dataclass(frozen=True, slots=True, eq=False)
class NoveltyDetector:
    """What tells the strangers of a task.

    Attributes:
        class_means: (…, K, D) of centred features, of norm one; float16 serves as well as float32.
        usual: (…) t, below which typicality counts against a query.
        threshold: (…) the familiarity below which a query is a stranger.
    """

    class_means: NDArray[np.floating[Any]]
    usual: Floats
    threshold: Floats

    def familiarity(self, embeddings: Float32, background: Background) -> Floats:
        """(…, Q), higher for what looks more like the task's classes; about ±1 at most.

        Args:
            embeddings: (…, Q, D).
            background: of the same backbone.
        """
        cosines = features(embeddings, background.centre) @ self.class_means.astype(np.float32).mT
        typicality = features(embeddings, None) @ background.direction
        return familiarity_of(cosines, typicality, self.usual[..., None])

    def weights(self, embeddings: Float32, background: Background) -> Floats:
        """(…, Q) how much each query may count for the classes, in [0, 1]: ½ at the threshold; see `models.transductive`."""
        weights: Floats = 1.0 - novelty_of(self.familiarity(embeddings, background), self.threshold[..., None])
        return weights


def fit_detector(embeddings: Float32, labels: Labels, background: Background, refused: float = 0.05) -> NoveltyDetector:
    """The detector of a task, or of a stack of tasks of equal labels.

    The threshold is a quantile of the familiarity that queries of the task's classes are expected to have, normally
    distributed. Its mean and deviation are those of the support set, each example held against the other examples of its class;
    and as a task has few of them, and with one example per class none, they are averaged with what the background predicts of
    them, which counts as five examples. The familiarity of the background, whose images are strangers, says how high this
    task's scores run.

    Args:
        embeddings: (…, n, D) of the support set.
        labels: (n,) in [0, K); every class has an example.
        background: of the same backbone.
        refused: the share of the classes' own images that may be taken for strangers.
    """
    x, typicality = features(embeddings, background.centre), features(embeddings, None) @ background.direction
    usual = np.minimum(np.median(background.typicality), typicality.mean(axis=-1))
    one_hot_nK = (labels[:, None] == np.arange(labels.max() + 1)).astype(np.float32)
    sums = one_hot_nK.T @ x
    means = sums / np.linalg.norm(sums, axis=-1, keepdims=True)
    strange = familiarity_of(background.features @ means.mT, background.typicality, usual[..., None])
    expected = strange.mean(axis=-1) + _MEMBERS_MEAN * strange.std(axis=-1), _MEMBERS_DEVIATION * strange.std(axis=-1)
    held_out = one_hot_nK.sum(axis=0)[labels] > 1
    seen = familiarity_of(_cosines_held_out(x, sums, one_hot_nK), typicality, usual[..., None])[..., held_out]
    count = seen.shape[-1]
    observed = (seen.mean(axis=-1), seen.std(axis=-1)) if count else expected
    mean, deviation = ((count * a + _PRIOR * b) / (count + _PRIOR) for a, b in zip(observed, expected, strict=True))
    return NoveltyDetector(means, usual, mean + NormalDist().inv_cdf(refused) * deviation)


def familiarity_of(cosines: Floats, typicality: Floats, usual: Floats | float) -> Floats:
    """(…, Q) of cosines with the class means (…, Q, K), typicalities (…, Q) and what is usual for the task."""
    resemblance: Floats = np.log(np.exp(_KAPPA * cosines).mean(axis=-1)) / _KAPPA
    familiarity: Floats = resemblance + _WEIGHT * np.minimum(0.0, typicality - usual)
    return familiarity


def novelty_of(familiarity: Floats, threshold: Floats | float) -> Floats:
    """(…, Q) in [0, 1]: ½ at the threshold, and more for strangers."""
    novelty: Floats = 1.0 / (1.0 + np.exp((familiarity - threshold) / _WIDTH))
    return novelty


def _cosines_held_out(x: Float32, sums: Float32, one_hot_nK: Float32) -> Floats:
    """(…, n, K) cosines of examples with class means that they are left out of; 0 where a class has no other.

    With ‖x‖ = 1, ⟨x, S − x⟩ = ⟨x, S⟩ − 1 and ‖S − x‖² = ‖S‖² − 2 ⟨x, S⟩ + 1.
    """
    products = x @ sums.mT
    squares = np.vecdot(sums, sums)[..., None, :] + one_hot_nK * (1.0 - 2.0 * products)
    alone = one_hot_nK * (one_hot_nK.sum(axis=0) == 1)
    cosines: Floats = np.where(alone > 0, 0.0, (products - one_hot_nK) / np.sqrt(np.maximum(squares, 1e-12)))
    return cosines
