"""Intervals beside SciPy's and published ones."""

from itertools import product
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import binomtest, norm, t

from server.journeys.intervals import left_out_accuracy, mean, paired_difference, wilson

COUNTS = st.integers(0, 300)


@settings(deadline=None)
@given(st.integers(1, 20_000).flatmap(lambda judged: st.tuples(st.integers(0, judged), st.just(judged))))
def test_that_of_a_share_is_scipys(counted: tuple[int, int]) -> None:
    expected = binomtest(*counted).proportion_ci(method="wilson")
    found = wilson(*counted)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert found is not None
    assert 0 <= found[0] <= counted[0] / counted[1] <= found[1] <= 1


@settings(deadline=None)
@given(st.integers(1, 300).flatmap(lambda judged: st.tuples(st.integers(0, judged), st.just(judged))), st.floats(0.5, 1))
def test_that_of_left_out_examples_holds_what_was_counted_and_what_more_examples_make_of_it(
    counted: tuple[int, int], seen: float
) -> None:
    right, judged = counted
    found = left_out_accuracy(right, judged, seen)
    assert found is not None
    more = 1 - seen * (1 - right / judged)
    assert 0 <= found[0] <= right / judged <= more + 1e-12  # which rounding may leave a little below
    assert more <= found[1] + 1e-12 <= 1 + 1e-12


def test_that_of_left_out_examples_is_scipys_of_as_many_errors_as_are_expected() -> None:
    """Of 20 examples 5 were missed by heads that had seen 3 of the 4 of each class."""
    confidence = 2 * norm.cdf(2.13) - 1
    low = binomtest(65, 80).proportion_ci(confidence, method="wilson").low  # 20 - 3/4 of 5 is 16.25, here of 4 times as many
    found = left_out_accuracy(4 * 15, 80, 0.75)
    assert found is not None
    assert found[0] == pytest.approx(low, abs=1e-4)
    assert (left_out_accuracy(19, 20, 0.75) or (0.0, 0.0))[1] == 1.0  # One error may be bad luck.
    assert left_out_accuracy(0, 0, 0.5) is None


def test_that_of_a_paired_difference_is_the_r_package_contingencytables() -> None:
    """`Newcombe_square_and_add_CI_paired_2x2(matrix(c(59, 6, 16, 80), 2, byrow=TRUE))`, as its own tests have it."""
    assert paired_difference(59, 6, 16, 80) == pytest.approx((-0.1186, -0.0046), abs=1e-4)


@pytest.mark.parametrize("judged", [10, 30])
@pytest.mark.parametrize(
    "shares", [(0.6, 0.2, 0.1, 0.1), (0.8, 0.1, 0.1, 0.0), (0.5, 0.3, 0.0, 0.2), (0.9, 0.05, 0.0, 0.05), (0.2, 0.3, 0.3, 0.2)]
)
def test_it_holds_the_true_difference_about_95_times_of_100(judged: int, shares: tuple[float, ...]) -> None:
    """Exactly, over every table there can be."""
    covered = 0.0
    for both, first, second in product(range(judged + 1), repeat=3):
        table = (both, first, second, judged - both - first - second)
        if table[3] < 0 or any(count and not share for count, share in zip(table, shares, strict=True)):
            continue
        interval = paired_difference(*table)
        assert interval is not None
        if interval[0] <= shares[1] - shares[2] <= interval[1]:
            logs = sum(count * log(share) - gammaln(count + 1) for count, share in zip(table, shares, strict=True) if count)
            covered += float(np.exp(gammaln(judged + 1) + logs))
    assert 0.91 <= covered <= 1


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_it_is_the_mirror_image_the_other_way_round(both: int, first: int, second: int, neither: int) -> None:
    found, turned = paired_difference(both, first, second, neither), paired_difference(both, second, first, neither)
    if not both + first + second + neither:
        assert found is turned is None
        return
    assert found is not None
    assert turned is not None
    assert found == pytest.approx((-turned[1], -turned[0]), abs=1e-12)
    difference = (first - second) / (both + first + second + neither)
    assert -1.000001 <= found[0] <= difference <= found[1] <= 1.000001


def test_shares_of_few_examples_that_agree_may_differ_all_the_same() -> None:
    low, high = paired_difference(5, 0, 0, 0) or (0, 0)
    assert low < -0.3
    assert high > 0.3


@given(st.lists(st.floats(-10, 10), min_size=5, max_size=60), st.sampled_from([0.05, 0.005]))
def test_that_of_a_mean_is_students(values: list[float], level: float) -> None:
    measured = np.array(values)
    z = float(norm.ppf(1 - level / 2))
    half = t.ppf(1 - level / 2, len(values) - 1) * measured.std(ddof=1) / len(values) ** 0.5
    expected = (measured.mean() - half, measured.mean() + half)
    assert mean(measured, z) == pytest.approx(expected, abs=0.025 * half + 1e-9)


def test_nothing_has_none() -> None:
    assert wilson(0, 0) is None
    assert paired_difference(0, 0, 0, 0) is None
    assert mean(np.ones(4)) is None
