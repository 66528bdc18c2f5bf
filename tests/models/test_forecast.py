"""The forecast of accuracy beside samples of its posterior, and what must hold of any learning curve."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import truncnorm

from models.arrays import Floats
from models.heads.forecast import CurvePrior, Evaluated, Gaussian, forecast
from models.heads.learning_curve import Point

COUNTS = st.lists(st.integers(1, 30), min_size=2, max_size=6)


def point(sizes: list[int], judged: list[int], right: list[float]) -> Point:
    return Point(np.array(sizes, float), np.array(judged, float), np.array(right, float))


def sampled(points: list[Point], sizes: list[int], prior: CurvePrior, factor: int) -> Floats:
    """The quantiles of the accuracy with `factor` times the examples: 300,000 draws from the prior, weighted."""
    rng, ways, (level, slope) = np.random.default_rng(0), len(sizes), (prior.level, prior.slope)
    levels = rng.normal(level.mean, level.deviation, 300_000)
    cut = -slope.mean / slope.deviation
    slopes = truncnorm.rvs(cut, np.inf, slope.mean, slope.deviation, levels.size, random_state=rng)

    def accuracy(shots: float) -> Floats:
        z = levels + slopes * 3 * (1 - 1 / np.cbrt(shots)) - 0.6 * np.log(ways / 5)
        share: Floats = 1 / ways + (1 - 1 / ways) * expit(z)
        return share

    logs = np.zeros(levels.size)
    for each in points:
        p = accuracy(float(np.prod(each.sizes) ** (1 / ways)))
        right, wrong = each.right.sum(), (each.judged - each.right).sum()
        logs += (right * np.log(p) + wrong * np.log1p(-p)) / len(points)
    weights, found = np.exp(logs - logs.max()), accuracy(factor * float(np.prod(sizes) ** (1 / ways)))
    order = found.argsort()
    shares = weights[order].cumsum() / weights.sum()
    quantiles: Floats = found[order][np.searchsorted(shares, [0.1, 0.5, 0.9])]
    return quantiles


@pytest.mark.parametrize(
    ("points", "sizes"),
    [
        ([], [1, 1, 1, 1, 1]),
        ([point([4, 4], [5, 5], [4, 3]), point([1, 1], [5, 5], [2.5, 3])], [5, 5]),
        ([point([1] * 20, [2] * 20, [2] * 19 + [1.0])], [2] * 20),
        ([point([9, 9, 9], [10, 10, 10], [10, 10, 10])], [10, 10, 10]),
    ],
)
@pytest.mark.parametrize("slope", [Gaussian(0.85, 0.3), Gaussian(0.1, 0.5)])
def test_equals_samples_of_the_posterior(points: list[Point], sizes: list[int], slope: Gaussian) -> None:
    prior = CurvePrior(Gaussian(0.5, 1.0), slope)
    for each in forecast(points, np.array(sizes), prior):
        low, middle, high = sampled(points, sizes, prior, each.factor)
        assert (each.interval[0], each.accuracy, each.interval[1]) == pytest.approx((low, middle, high), abs=0.01)


@settings(max_examples=60, deadline=None)
@given(sizes=COUNTS, seed=st.integers(0, 10_000), level=st.floats(-8, 8), spread=st.floats(0.1, 5), slope=st.floats(-2, 5))
def test_is_an_accuracy_within_its_interval_and_rises(
    sizes: list[int], seed: int, level: float, spread: float, slope: float
) -> None:
    rng = np.random.default_rng(seed)
    judged = [count if count > 1 else 0 for count in sizes]
    points = [point(np.maximum(1, np.array(sizes) - 1).tolist(), judged, (rng.random(len(sizes)) * judged).tolist())]
    twice, five_times = forecast(points, np.array(sizes), CurvePrior(Gaussian(level, spread), Gaussian(slope, spread)))
    assert (twice.factor, five_times.factor) == (2, 5)
    for each in (twice, five_times):
        assert 0 <= each.interval[0] <= each.accuracy <= each.interval[1] <= 1
    assert twice.accuracy <= five_times.accuracy
    assert twice.interval[0] <= five_times.interval[0]
    assert twice.interval[1] <= five_times.interval[1]


def test_examples_that_are_recognised_raise_it_and_more_of_them_narrow_it() -> None:
    def expected(count: int, share: float) -> tuple[float, float]:
        points = [point([count - 1] * 5, [count] * 5, [share * count] * 5)]
        twice, _ = forecast(points, np.full(5, count), CurvePrior())
        return twice.accuracy, twice.interval[1] - twice.interval[0]

    assert expected(5, 0.4)[0] < expected(5, 0.6)[0] < expected(5, 1.0)[0]
    assert expected(5, 0.6)[1] > expected(20, 0.6)[1] > expected(80, 0.6)[1]
    (blind, _) = forecast([], np.full(5, 5), CurvePrior())
    assert blind.interval[1] - blind.interval[0] > expected(5, 0.6)[1]


def test_classes_count_alike_and_those_that_nobody_judged_leave_it_open() -> None:
    def width(points: list[Point]) -> float:
        twice, _ = forecast(points, np.array([40, 40]), CurvePrior())
        return twice.interval[1] - twice.interval[0]

    assert width([point([39, 39], [20, 20], [15, 15])]) < width([point([39, 39], [40, 0], [30, 0])])
    unequal, equal = (
        forecast(points, np.array([9, 9]), CurvePrior())[0].accuracy
        for points in ([point([9, 9], [50, 2], [50, 0])], [point([9, 9], [26, 26], [26, 26])])
    )
    assert unequal < 0.8 < equal


def z_of(accuracy: float, ways: int) -> float:
    chance = 1 / ways
    return math.log((accuracy - chance) / (1 - accuracy)) + 0.6 * math.log(ways / 5)


def test_the_prior_is_the_mean_and_the_spread_of_the_evaluated_curves() -> None:
    evaluated = [
        Evaluated("birds", 5, 1, 0.6),
        Evaluated("birds", 5, 5, 0.8),
        Evaluated("cars", 10, 1, 0.5),
        Evaluated("cars", 10, 5, 0.9),
    ]
    found = CurvePrior.of(evaluated)
    levels = [z_of(0.6, 5), z_of(0.5, 10)]
    h = 3 * (1 - 5 ** (-1 / 3))
    slopes = [(z_of(0.8, 5) - levels[0]) / h, (z_of(0.9, 10) - levels[1]) / h]
    assert found.level.mean == pytest.approx(np.mean(levels))
    assert found.slope.mean == pytest.approx(np.mean(slopes))
    assert found.level.deviation == pytest.approx(math.sqrt(0.5**2 + np.var(levels) + 1.2**2 / 2))
    assert found.slope.deviation == pytest.approx(math.sqrt(0.25**2 + np.var(slopes) + 0.2**2 / 2))


def test_few_evaluations_leave_the_prior_wide_and_none_leave_the_default() -> None:
    assert CurvePrior.of([]) == CurvePrior()
    (one,) = {CurvePrior.of([Evaluated("birds", 5, 5, share)]).slope.mean for share in (0.7, 1.0)}
    assert one == CurvePrior().slope.mean, "one number of shots tells no slope"
    falling = CurvePrior.of([Evaluated("birds", 5, 1, 0.8), Evaluated("birds", 5, 5, 0.1)])
    assert falling.slope.mean == 0, "more examples do not hurt"
    alone = CurvePrior.of([Evaluated("birds", 5, 1, 0.8)])
    many = CurvePrior.of([Evaluated(f"birds{i}", 5, 1, 0.8) for i in range(9)])
    assert alone.level.mean == pytest.approx(many.level.mean)
    assert alone.level.deviation > many.level.deviation
