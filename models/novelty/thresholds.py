"""Thresholds: the familiarity below which an image is a stranger to a task, from the task's own examples and a law of the
bundle.

Before any query, two things are known of a task's own images: the familiarity of its examples when they are left out, and each
example's familiarity to the *other* classes. The first gives a quantile directly, if there are enough. The second shows how
alike the pictures of this kind are, and a task of one example a class has it too:

    seen = median + g · mean 1 / c(c − 1) − d · below · √(1 + 1/n)        n left-out examples, of classes of c examples
    expected = between − s · √(spread² + floor²)
    threshold = (n · seen + p · expected) / (n + p)

`below` is the deviation of the values below the median. The upper ones say nothing of a low quantile, and classes are unequally
tight. A left-out example faces a class mean of one example fewer, which `g` makes up for: the mean of c examples errs by a
variance in proportion to 1/c. The coefficients are fitted so that 5 % are refused (`training.calibration.novelty`).

Where a task has negatives, its left-out examples lose familiarity as queries do (`models.novelty.negatives`): `seen` is of what
is left, and `between` is less by what they lose beside the other classes. So the share refused stays.

Shape legend: n examples of a task, m of them looked at, Q queries, D features, K classes, M negatives; any leading dimensions
are tasks.
"""

from dataclasses import dataclass

import numpy as np

from models.arrays import Ints, Reals
from models.heads.head import Float32
from models.manifest import NoveltyLaw
from models.novelty.familiarity import left_out_cosines, resemblance
from models.novelty.negatives import left_out_losses

REFUSED = 0.05  # the share of the classes' own images that may be taken for strangers

_MOST = 500  # examples that are looked at: more make no threshold better, and each is compared with all others
_LEAST_COSINE = -1.0


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Statistics of the familiarity of a task's examples, or of a stack of tasks'.

    Attributes:
        between, spread: (…) mean and deviation of the examples' familiarity to the other classes.
        middle, below: (…) median of the left-out examples' familiarity to all classes, and the deviation of those below it;
            zeros where no example can be left out.
        fewer: the mean of 1 / c(c − 1) over them.
        count: n of them.
    """

    between: Reals
    spread: Reals
    middle: Reals
    below: Reals
    fewer: float
    count: int


def threshold(found: Evidence, law: NoveltyLaw) -> Reals:
    """Returns the familiarity (…) that 5 % of the classes' own images are expected to lie below."""
    expected: Reals = found.between - law.spread * np.sqrt(found.spread**2 + law.floor**2)
    if not found.count:
        return expected
    below = law.deviations * np.sqrt(1.0 + 1.0 / found.count) * found.below
    seen = found.middle + law.gain * found.fewer - below
    threshold: Reals = (found.count * seen + law.prior * expected) / (found.count + law.prior)
    return threshold


def evidence(x: Float32, labels: Ints, law: NoveltyLaw, negatives: Float32 | None = None) -> Evidence:
    """Returns the evidence of features (…, n, D) of norm one, with labels (n,) in [0, K), K at least 2; every class has an
    example.

    With more than 500 examples, 500 are looked at, with each class's share of them. Each is compared with all examples.

    Args:
        negatives: (…, M, D) of norm one, M at least 0; None for M = 0.
    """
    one_hot_nK = (labels[:, None] == np.arange(labels.max() + 1)).astype(np.float32)
    counts, sums = one_hot_nK.sum(axis=0), one_hot_nK.T @ x
    rows = looked_at(labels)
    x_m, own_mK, same_mn = x[..., rows, :], one_hot_nK[rows], labels[rows, None] == labels
    to_examples = x_m @ x.mT
    between = _to_others(x_m, own_mK, sums, np.where(same_mn, _LEAST_COSINE, to_examples).max(axis=-1), law)
    itself = rows[:, None] == np.arange(len(labels))
    nearest = np.where(itself, _LEAST_COSINE, to_examples).max(axis=-1)
    sizes = counts[labels[rows]]
    held_out = sizes > 1
    left_out = resemblance(left_out_cosines(x_m, sums, own_mK, counts), nearest, law)[..., held_out]
    if negatives is not None and negatives.shape[-2]:
        beside_others, lost = left_out_losses(x, labels, rows, negatives)
        between, left_out = between - beside_others.mean(axis=-1, keepdims=True), left_out - lost[..., held_out]
    middle, below = _lower_half(left_out)
    fewer = float(np.mean(1.0 / (sizes * (sizes - 1.0))[held_out])) if held_out.any() else 0.0
    return Evidence(between.mean(axis=-1), between.std(axis=-1), middle, below, fewer, int(held_out.sum()))


def looked_at(labels: Ints) -> Ints:
    """Returns the positions of the examples that are looked at: all, or the same share of every class."""
    if len(labels) <= _MOST:
        return np.arange(len(labels))
    return np.argsort(labels, kind="stable")[np.linspace(0, len(labels) - 1, _MOST).astype(np.int64)]


def _to_others(x_m: Float32, own_mK: Float32, sums: Float32, nearest: Reals, law: NoveltyLaw) -> Reals:
    """Returns the familiarity (…, m) of examples to the classes that they are not of."""
    norms = np.sqrt(np.maximum(np.vecdot(sums, sums), 1e-12))
    cosines = x_m @ sums.mT / norms[..., None, :]
    others = cosines[..., own_mK == 0].reshape(*cosines.shape[:-1], own_mK.shape[1] - 1)
    return resemblance(others, nearest, law)


def _lower_half(familiarity: Reals) -> tuple[Reals, Reals]:
    """Returns the median of values (…, n), and the deviation that those below it would have if those above mirrored them, (…)
    each.
    """
    count = familiarity.shape[-1]
    if not count:
        nothing = np.zeros(familiarity.shape[:-1], familiarity.dtype)
        return nothing, nothing
    middle: Reals = np.median(familiarity, axis=-1)
    short = np.minimum(familiarity - middle[..., None], 0.0)
    return middle, np.sqrt(2.0 * (short**2).sum(axis=-1) / max(1, count - 1))
