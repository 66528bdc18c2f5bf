"""Prediction sets: the labels of an image that hold the right one as often as asked, such as nine times in ten.

A set holds the labels whose probability is at least t (least ambiguous sets: Sadinle, Lei & Wasserman, JASA 2019). Among all
rules of one coverage this one has the smallest sets. A set may be empty: no label is as probable as those of the task's images.

t comes from the left-out examples, as in split conformal prediction. Few shots make it rough to count the examples whose own
label is at least as probable as t. The probabilities of a left-out example also say how often each label is right. So both are
mixed, and the more examples there are, the more the count decides:

    coverage(t) = mean over examples i of  Σ_k [p_ik ≥ t] · (λ p_ik + (1 − λ) [k is i's label]),     λ = 25 / (25 + n)

Where most classes have one example, nothing can be left out. Then labels are taken by falling probability while the sum up to the
middle of the label is at most the coverage. This is the rule of adaptive prediction sets (Romano, Sesia & Candès, NeurIPS 2020)
with the random number at its mean. It relies on the probabilities alone, and such a set is never empty.

Shape legend: n examples, N images, D features, K classes (ways).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.arrays import Bools, Floats, Ints
from models.heads.class_names import NamePrior, left_out_with_names
from models.heads.fitting import classes_of
from models.heads.head import EmbeddingSpace, Float32, Head
from models.heads.leave_one_out import LeftOut, leave_one_out

_PRIOR = 25.0  # examples: as many count as much as the probabilities do. Chosen on validation classes.
_JUDGED = 0.5  # of the classes: with fewer, the examples that can be left out do not speak for the task
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class SetRule:
    """The rule that says which labels are in the prediction sets of a task's version.

    Attributes:
        probabilities: of left-out examples, falling (M,); empty where too few can be left out.
        covered: the coverage of the threshold at each of them, rising (M,).
        finest: n / (n + 1), the highest coverage that n left-out examples can support by counting; None where n is 0. Shots of
            one thing count as one.
    """

    probabilities: Floats
    covered: Floats
    finest: float | None

    @property
    def nbytes(self) -> int:
        """The memory of the rule, in bytes."""
        return self.probabilities.nbytes + self.covered.nbytes

    def inside(self, probabilities: Floats, coverage: float) -> Bools:
        """Returns which labels are in the sets, (N, K).

        Args:
            probabilities: (N, K), as the version's head gives them.
            coverage: between 0 and 1.
        """
        if len(self.covered):
            place = np.searchsorted(self.covered, coverage - _ROUNDING)
            least = self.probabilities[place] if place < len(self.covered) else 0.0
            return probabilities >= least
        order = np.argsort(-probabilities, axis=1, kind="stable")
        falling = np.take_along_axis(probabilities, order, axis=1)
        chosen = np.cumsum(falling, axis=1) - falling / 2 <= coverage
        chosen[:, :1] = True
        inside = np.empty_like(chosen)
        np.put_along_axis(inside, order, chosen, axis=1)
        return inside


UNJUDGED = SetRule(np.empty(0), np.empty(0), None)
"""The rule where no example can be left out."""


def set_rule(
    head: Head,
    embeddings: Float32,
    labels: Sequence[str],
    space: EmbeddingSpace,
    groups: Ints,
    names: NamePrior | None = None,
) -> SetRule:
    """Returns the rule for a head's answers.

    Args:
        embeddings: (n, D), the examples that it was fitted on, in this space.
        labels: of the n examples.
        groups: (n,) what is left out together.
        names: what the class names say, if they are part of the head.
    """
    classes, indices = classes_of(labels)
    features = space.features(embeddings, head.options.centre)
    left_out = leave_one_out(features, indices, len(classes), head.options, groups)
    return rule_of(left_out_with_names(left_out, features, names), indices)


def rule_of(left_out: LeftOut, labels: Ints) -> SetRule:
    """Returns the rule from the judgements of n examples with these labels, (n,)."""
    judged, ways = left_out.judged, left_out.probabilities.shape[1]
    weights = left_out.weights[judged]
    n = float(weights.sum())
    finest = n / (n + 1.0) if n else None
    if len(np.unique(labels[judged])) < _JUDGED * ways:
        return SetRule(np.empty(0), np.empty(0), finest)
    shares = left_out.probabilities[judged]
    relied = _PRIOR / (_PRIOR + n)
    expected = relied * shares + (1.0 - relied) * np.eye(ways)[labels[judged]]
    worth = (expected * weights[:, None] / n).ravel()
    order = np.argsort(-shares, axis=None, kind="stable")
    return SetRule(shares.ravel()[order], np.cumsum(worth[order]), finest)
