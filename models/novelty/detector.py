"""Novelty detection: whether a query belongs to one of a task's classes, or is a stranger.

The head's probabilities cannot tell: they sum to one over the task's classes, whatever the image. An image's familiarity, how
much it resembles the classes, can. A bundle's law (`models.manifest.NoveltyLaw`) is fitted on several kinds of picture. With a
law, familiarity comes from features in the space of `models.novelty.space`:

    familiarity(q) = (1 − v) S_k cos(q, m_k) + v max_i cos(q, x_i) − u mean_k cos(q, m_k),    S_k = 1/κ · log mean_k exp(κ ·)

of class means m_k and examples x_i. The smooth maximum is the likelihood of a mixture of equal von Mises-Fisher densities
(Banerjee et al., JMLR 2005). The nearest example helps where classes are not round (Sun et al., ICML 2022). The last term
subtracts what all classes share, the kind of picture, since it does not tell the task's classes from others of the kind.
`models.novelty.thresholds` makes the threshold. Images of none of the classes, where a task has them, make a difference to both
(`models.novelty.negatives`).

A bundle without a law uses the older rule, with constants of CIFAR-FS. There, S_k is of features centred on 3/4 μ, the base
classes' mean. Typicality(q) = ⟨f, ḡ⟩ is the product of the uncentred feature and the mean ḡ of the background's. It counts where
it is below the usual value t: the median of the background, or the mean of the task's own examples if that is less.

Shape legend: T tasks (any leading dimensions, or none), n examples of a task, Q queries, D features, K classes, M negatives,
B background.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from models.arrays import Ints, Reals
from models.heads.head import Float32, features
from models.manifest import NoveltyLaw
from models.novelty.familiarity import left_out_cosines, resemblance, smooth_maximum
from models.novelty.negatives import left_out_losses, loss
from models.novelty.space import NoveltySpace
from models.novelty.thresholds import REFUSED, evidence, looked_at, threshold

_CENTRING, KAPPA_WITHOUT_LAW, WEIGHT_WITHOUT_LAW = 0.75, 10.0, 2.0  # Here and below: of bundles without a law.

# Mean and deviation of members' familiarity above the background's mean, in deviations of the background's: of 1-shot tasks.
_MEMBERS_MEAN, _MEMBERS_DEVIATION = 0.92, 0.91
_PRIOR = 5  # examples

WIDTH = 0.05  # of the threshold, in familiarity


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Images as the detectors of one backbone see them.

    Attributes:
        features: (…, Q, D) in the space of the background.
        typicality: (…, Q); None where a law does without it.
    """

    features: Float32
    typicality: Reals | None

    def of(self, rows: slice | Ints) -> "Queries":
        """Returns some of the Q images, of queries without leading dimensions."""
        return Queries(self.features[rows], None if self.typicality is None else self.typicality[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """A bundle's background: features of images of no task in particular.

    Attributes:
        law: the bundle's, if it has one.
        space: the space in which images are compared.
        features: (B, D) of the bundle's background, in that space.
        direction: (D,) ḡ, the mean of the features that are not centred.
        typicality: (B,) the background's own.
    """

    law: NoveltyLaw | None
    space: NoveltySpace
    features: Float32
    direction: Float32
    typicality: Float32

    @classmethod
    def of(cls, embeddings: Float32, mean: Float32, law: NoveltyLaw | None = None) -> "Background":
        """Returns the background of a bundle, from its `background` (B, D), `feature_mean` (D,) and law."""
        plain = features(embeddings, None)
        direction = plain.mean(axis=0)
        space = NoveltySpace.of(plain, law) if law else NoveltySpace.centred(np.float32(_CENTRING) * mean)
        return cls(law, space, space.features(embeddings), direction, plain @ direction)

    def queries(self, embeddings: Float32) -> Queries:
        """Returns images as detectors see them, from their embeddings (…, Q, D) by the same backbone."""
        typicality = None if self.law else features(embeddings, None) @ self.direction
        return Queries(self.space.features(embeddings), typicality)

    def familiarity(self, queries: Queries, to_means: Reals, nearest: Reals, to_negatives: Reals, usual: Reals | float) -> Reals:
        """Returns the familiarity (…, Q) of queries, higher for images more like a task's classes; about ±1 at most.

        Args:
            to_means: (…, Q, K) cosines with the class means.
            nearest: (…, Q) the highest cosine with an example.
            to_negatives: (…, Q, M) cosines with the negatives, M at least 0.
            usual: (…, 1) t of the task, which counts where there is no law.
        """
        if self.law:
            familiarity = resemblance(to_means, nearest, self.law)
        else:
            assert queries.typicality is not None
            familiarity = _familiarity_without_law(to_means, queries.typicality, usual)
        return familiarity - loss(to_negatives.max(axis=-1), nearest) if to_negatives.shape[-1] else familiarity


@dataclass(frozen=True, slots=True, eq=False)
class NoveltyDetector:
    """A task's detector of strangers.

    Attributes:
        class_means: (…, K, D) of features in the background's space, of norm one; float16 serves as well as float32.
        examples: (…, n, D) the features themselves.
        negatives: (…, M, D) features of images of none of the classes, M at least 0.
        usual: (…) t, below which typicality counts against a query where the bundle has no law.
        threshold: (…) the familiarity below which a query is a stranger.
    """

    class_means: Reals
    examples: Float32
    negatives: Float32
    usual: Reals
    threshold: Reals

    def familiarity(self, embeddings: Float32, background: Background) -> Reals:
        """Returns the familiarity (…, Q) of queries, higher for images more like the task's classes; about ±1 at most.

        Args:
            embeddings: (…, Q, D).
            background: of the same backbone.
        """
        queries = background.queries(embeddings)
        to_means = queries.features @ self.class_means.astype(np.float32).mT
        nearest = (queries.features @ self.examples.mT).max(axis=-1)
        to_negatives = queries.features @ self.negatives.mT
        return background.familiarity(queries, to_means, nearest, to_negatives, self.usual[..., None])

    def weights(self, embeddings: Float32, background: Background) -> Reals:
        """Returns each query's weight for the classes, (…, Q) in [0, 1], ½ at the threshold; see `models.heads.transductive`."""
        weights: Reals = 1.0 - novelty_of(self.familiarity(embeddings, background), self.threshold[..., None])
        return weights


def fit_detector(embeddings: Float32, labels: Ints, background: Background, negatives: Float32 | None = None) -> NoveltyDetector:
    """Returns the detector of a task, or of a stack of tasks of equal labels.

    The threshold is the familiarity above which 95 % of queries of the task's classes are expected.

    Args:
        embeddings: (…, n, D) of the support set.
        labels: (n,) in [0, K), K at least 2; every class has an example.
        background: of the same backbone.
        negatives: (…, M, D) embeddings of images of none of the classes, M at least 0; None for M = 0.
    """
    x, typicality = background.space.features(embeddings), features(embeddings, None) @ background.direction
    usual = np.minimum(np.median(background.typicality), typicality.mean(axis=-1))
    one_hot_nK = (labels[:, None] == np.arange(labels.max() + 1)).astype(np.float32)
    sums = one_hot_nK.T @ x
    means = sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    z = x[..., :0, :] if negatives is None else background.space.features(negatives)
    if background.law:
        least = threshold(evidence(x, labels, background.law, z), background.law)
    else:
        least = _threshold_without_law(x, typicality, usual, labels, means, background, z)
    return NoveltyDetector(means, x, z, usual, least)


def novelty_of(familiarity: Reals, threshold: Reals | float) -> Reals:
    """Returns the novelty (…, Q) in [0, 1]: ½ at the threshold, and more for strangers."""
    novelty: Reals = 1.0 / (1.0 + np.exp((familiarity - threshold) / WIDTH))
    return novelty


def _familiarity_without_law(to_means: Reals, typicality: Reals, usual: Reals | float) -> Reals:
    familiarity: Reals = smooth_maximum(to_means, KAPPA_WITHOUT_LAW) + WEIGHT_WITHOUT_LAW * np.minimum(0.0, typicality - usual)
    return familiarity


def _threshold_without_law(
    x: Float32, typicality: Reals, usual: Reals, labels: Ints, means: Float32, background: Background, negatives: Float32
) -> Reals:
    """Returns a quantile (…) of the familiarity that queries of the task's classes are expected to have, normally distributed.

    Its mean and deviation are those of the support set, with each example compared to the other examples of its class. A task
    has few of them, and with one example per class none. So they are averaged with the background's prediction, which counts as
    five examples. The background's images are strangers, so their familiarity shows how high this task's scores run.

    Where there are negatives, left-out examples lose familiarity as queries do, and the prediction is less by what examples lose
    beside the other classes.
    """
    one_hot_nK = (labels[:, None] == np.arange(labels.max() + 1)).astype(np.float32)
    strange = _familiarity_without_law(background.features @ means.mT, background.typicality, usual[..., None])
    expected = strange.mean(axis=-1) + _MEMBERS_MEAN * strange.std(axis=-1), _MEMBERS_DEVIATION * strange.std(axis=-1)
    counts = one_hot_nK.sum(axis=0)
    cosines = left_out_cosines(x, one_hot_nK.T @ x, one_hot_nK, counts)
    familiarity = _familiarity_without_law(cosines, typicality, usual[..., None])
    rows = np.arange(len(labels))
    if negatives.shape[-2]:
        rows = looked_at(labels)
        beside_others, lost = left_out_losses(x, labels, rows, negatives)
        familiarity, expected = familiarity[..., rows] - lost, (expected[0] - beside_others.mean(axis=-1), expected[1])
    seen = familiarity[..., (counts[labels] > 1)[rows]]
    count = seen.shape[-1]
    observed = (seen.mean(axis=-1), seen.std(axis=-1)) if count else expected
    mean, deviation = ((count * a + _PRIOR * b) / (count + _PRIOR) for a, b in zip(observed, expected, strict=True))
    least: Reals = mean + NormalDist().inv_cdf(REFUSED) * deviation
    return least
