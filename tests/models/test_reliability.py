"""Reliability beside scikit-learn's calibration curve, and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from models.arrays import Floats, Ints
from models.heads.leave_one_out import LeftOut
from models.heads.reliability import reliability


def left_out(probabilities: Floats, groups: Ints | None = None) -> LeftOut:
    """Judgements with these probabilities, (n, K); rows of NaN are not judged."""
    judged = ~np.isnan(probabilities[:, 0])
    return LeftOut(judged, probabilities, None, np.arange(len(judged)) if groups is None else groups)


@given(seed=st.integers(0, 1000), count=st.integers(1, 200), ways=st.integers(2, 6), unjudged=st.floats(0, 1))
def test_equals_scikit_learns_calibration_curve(seed: int, count: int, ways: int, unjudged: float) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(ways, 0.5), count)
    labels = rng.integers(0, ways, count)
    judged = rng.random(count) >= unjudged
    found = reliability(left_out(np.where(judged[:, None], probabilities, np.nan)), labels)
    sure, right = probabilities.max(axis=1)[judged], (probabilities.argmax(axis=1) == labels)[judged]
    assert sum(each.examples for each in found) == judged.sum()
    if judged.any():
        accuracies, means = calibration_curve(right, sure, n_bins=5, strategy="uniform")
        np.testing.assert_allclose([each.probability for each in found], means)
        np.testing.assert_allclose([each.accuracy for each in found], accuracies)
    assert all(each.lowest <= each.probability <= each.highest for each in found)


def test_ranges_without_examples_are_left_out_and_ends_are_the_next_ones() -> None:
    probabilities = np.array([[1.0, 0.0], [0.8, 0.2], [0.79, 0.21], [0.45, 0.55]])
    found = reliability(left_out(probabilities), np.array([0, 1, 0, 1]))
    assert [(each.lowest, each.highest, each.examples) for each in found] == [(0.4, 0.6, 1), (0.6, 0.8, 1), (0.8, 1.0, 2)]
    assert [each.accuracy for each in found] == [1.0, 1.0, 0.5]


def test_a_group_counts_as_one_and_a_tie_as_wrong() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.84, 0.16], [0.5, 0.5]])
    tied, grouped = reliability(left_out(probabilities, np.array([0, 0, 1, 2])), np.array([0, 0, 1, 0]))
    assert grouped.examples == 3
    assert grouped.probability == pytest.approx((0.9 + 0.84) / 2)
    assert grouped.accuracy == pytest.approx(1 / 2)
    assert (tied.examples, tied.accuracy) == (1, 0.0)


def test_nothing_judged_is_no_range() -> None:
    assert reliability(left_out(np.full((3, 2), np.nan)), np.array([0, 0, 1])) == []
