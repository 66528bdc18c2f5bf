"""One way to fit a task's head, judged by heads fitted so without each example, and beside another way.

Shape legend: m examples that could be judged.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import Ints
from models.heads.class_names import NamePrior
from models.heads.head import EmbeddingSpace
from models.labels import as_texts
from models.manifest import HeadOptions
from server.journeys.intervals import Z95, Interval, mean, paired_difference
from server.journeys.tally import Tally, judge_left_out
from server.store.support_records import Support

_LEAST = float(np.finfo(np.float64).eps)  # A probability that was rounded to nothing must not make a loss infinite.
_CHANCE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The outcome of one way to fit the head.

    Attributes:
        backbone: the bundle's id.
        method: how examples were left out.
        tally: how many were judged and recognised.
        right: bool (m,), whether each was recognised.
        losses: float64 (m,), −log p of each one's own label.
        groups: (m,) numbers from 0; what was left out together has the same, and counts as one.
    """

    backbone: str
    options: HeadOptions
    method: str
    tally: Tally
    right: NDArray[np.bool_]
    losses: NDArray[np.float64]
    groups: Ints
    milliseconds: float

    @property
    def judged(self) -> int:
        return self.tally.judged

    @property
    def recognised(self) -> int:
        return self.tally.recognised

    @property
    def log_loss(self) -> float | None:
        """The mean loss, as scikit-learn has it; None if none was judged."""
        return float(self.losses.mean()) if len(self.losses) else None

    def gained(self, other: "Trial") -> int:
        """Returns how many examples this one recognises and the other does not."""
        return int((self.right & ~other.right).sum())

    def accuracy_gained(self, other: "Trial") -> float:
        """This one's accuracy less the other's, which judged the same examples."""
        return float(self._of_groups(1.0 * self.right - other.right).mean())

    def accuracy_difference(self, other: "Trial", z: float = Z95) -> Interval | None:
        """Returns the interval of this trial's accuracy minus the other's on the same examples; None if there are none."""
        cases = self.right & other.right, self.right & ~other.right, other.right & ~self.right, ~self.right & ~other.right
        both, first, second, neither = (float(self._of_groups(case).sum()) for case in cases)
        return paired_difference(both, first, second, neither, z)

    def loss_difference(self, other: "Trial", z: float = Z95) -> Interval | None:
        """Returns the interval of this trial's mean loss minus the other's; None if there are fewer than five groups."""
        return mean(self._of_groups(self.losses - other.losses), z)

    def _of_groups(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Returns the mean of (m,) values in each group."""
        sizes = np.bincount(self.groups)
        means: NDArray[np.float64] = np.bincount(self.groups, values)[sizes > 0] / sizes[sizes > 0]
        return means


def run_trial(
    support: Support, options: HeadOptions, space: EmbeddingSpace, groups: Ints, names: NamePrior | None = None
) -> Trial:
    """Judges heads fitted with these options on a support set, whose embeddings are of this space.

    Args:
        groups: (n,) what is left out together; the same for all that are compared.
        names: what the class names say, if they are part of the heads.
    """
    started = time.perf_counter()
    verdict = judge_left_out(as_texts(support.labels), support.embeddings, space, options, groups, names)
    left_out, indices = verdict.left_out, verdict.labels
    probabilities, own = left_out.probabilities[left_out.judged], indices[left_out.judged]
    of_own = probabilities[np.arange(len(own)), own]
    return Trial(
        backbone=space.backbone.bundle,
        options=options,
        method=left_out.method,
        tally=verdict.of_all,
        right=left_out.verdicts(indices)[left_out.judged] == own,
        losses=-np.log(np.maximum(of_own, _LEAST)),
        groups=left_out.groups[left_out.judged],
        milliseconds=round(1000.0 * (time.perf_counter() - started), 3),
    )


def best_of(current: Trial, tried: Mapping[int, Trial]) -> int:
    """The number of the one that recognised most examples and, of as many, was surest of their labels, to three decimals; 0 is
    the active version, which no other replaces without being better.
    """
    numbered = {0: current, **tried}
    return min(numbered, key=lambda number: (-numbered[number].recognised, round(numbered[number].log_loss or 0.0, 3)))


def advice(current: Trial, tried: Mapping[int, Trial]) -> str:
    """Returns a sentence: whether a candidate, by number from 1, beats the active version, and whether by chance.

    The best of several is often the luckiest, so that its lead must stand in an interval as wide as all of them together need
    (Bonferroni).
    """
    if not tried:
        return "None of the candidates could be tried; what stands in their places says why."
    if not current.judged:
        return (
            "Nothing can be compared, since each example is alone in its class, or like all others of it: add one of each from "
            "another time, then compare again."
        )
    has = f"{current.recognised} of {current.judged} examples"
    if not (number := best_of(current, tried)):
        return f"None of the candidates is better than the active version, which recognised {has}."
    best = tried[number]
    called = f"Candidate {number} ({best.options.solver}, C = {best.options.C:g}, {best.backbone})"
    z = NormalDist().inv_cdf(1.0 - _CHANCE / (2 * len(tried)))
    if best.recognised == current.recognised:
        losses = best.loss_difference(current, z)
        return (
            f"None of the candidates recognised more than the active version, which recognised {has}; {called} is surer of the "
            f"right labels (log-loss {best.log_loss:.3f} instead of {current.log_loss:.3f}), "
            f"{_verdict(losses is not None and losses[1] < 0)}."
        )
    shares = best.accuracy_difference(current, z)
    return (
        f"{called} recognised {best.recognised} of {best.judged} examples, {best.recognised - current.recognised} more than the "
        f"active version, {_verdict(shares is not None and shares[0] > 0)}."
    )


def _verdict(real: bool) -> str:
    return "which is more than chance explains" if real else "which may be chance: more examples would tell"
