"""The points of a learning curve beside fits by hand, and what must hold of any support set."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from models.arrays import Floats, Ints
from models.heads.forecast import CurvePrior, forecast
from models.heads.head import features
from models.heads.learning_curve import Point, learning_curve
from models.heads.leave_one_out import leave_one_out
from models.manifest import Solver
from tests.helpers.heads import options

SOLVERS = st.sampled_from(get_args(Solver))


def examples(shots: list[int], seed: int, dim: int = 6) -> tuple[Floats, Ints]:
    """Features of classes that overlap."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(shots)), shots)
    return features(rng.normal(size=(len(shots), dim))[labels] + rng.normal(size=(len(labels), dim)), None), labels


def test_equals_fits_by_scikit_learn_where_no_choice_of_subsets_matters() -> None:
    """The second class is one image five times over, so that a head depends on its examples of the first class alone."""
    rng = np.random.default_rng(0)
    towards = rng.normal(size=6)
    first = features(towards + 1.5 * rng.normal(size=(5, 6)), None)
    second = np.repeat(features(-0.2 * towards + rng.normal(size=(1, 6)), None), 5, axis=0)
    x, y = np.concatenate([first, second]), np.repeat([0, 1], 5)
    found = learning_curve(x, y, options(C=2.0), np.arange(10))
    assert [point.sizes.tolist() for point in found] == [[4, 4], [2, 2], [1, 1]]

    def recognised(example: int, others: list[int]) -> bool:
        model = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000)
        model.fit(np.concatenate([first[others], second[: len(others)]]), np.repeat([0, 1], len(others)))
        return bool(model.predict(first[example, None])[0] == 0)

    all_but_one = sum(recognised(i, [j for j in range(5) if j != i]) for i in range(5))
    from_one = sum(recognised(i, [j]) / 4 for i in range(5) for j in range(5) if j != i)
    assert 0 < from_one < all_but_one < 5, "a test of mistakes needs some, and a curve rises"
    of_first = [0 if point.right[0] < point.right[1] else 1 for point in found]
    assert [point.judged.tolist() for point in found] == [[5, 5]] * 3
    assert found[0].right[of_first[0]] == all_but_one
    np.testing.assert_allclose(found[2].right[of_first[2]], from_one)


@settings(max_examples=40, deadline=None)
@given(shots=st.lists(st.integers(1, 6), min_size=2, max_size=5), solver=SOLVERS, seed=st.integers(0, 1000), data=st.data())
def test_neither_the_order_of_examples_nor_that_of_classes_matters(
    shots: list[int], solver: Solver, seed: int, data: st.DataObject
) -> None:
    x, y = examples(shots, seed)
    x[-1] = x[0]  # one image in two classes
    groups = np.minimum(np.arange(len(y)), len(y) - 2 if shots[-1] > 1 else len(y) - 1)
    order = np.array(data.draw(st.permutations(range(len(y)))))
    names = np.array(data.draw(st.permutations(range(len(shots)))))
    found, again = (
        learning_curve(x, y, options(solver), groups),
        learning_curve(x[order], names[y[order]], options(solver), groups[order]),
    )
    for one, other in zip(found, again, strict=True):
        for part in ("sizes", "judged", "right"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    sizes = np.bincount(y[np.unique(groups, return_index=True)[1]])
    assert forecast(found, sizes, CurvePrior()) == forecast(again, sizes[names.argsort()], CurvePrior())


@settings(max_examples=30, deadline=None)
@given(shots=st.lists(st.integers(1, 20), min_size=2, max_size=4), solver=SOLVERS, seed=st.integers(0, 1000))
def test_heads_have_some_of_each_class_and_every_other_group_is_judged(shots: list[int], solver: Solver, seed: int) -> None:
    x, y = examples(shots, seed)
    found = learning_curve(x, y, options(solver), np.arange(len(y)))
    assert bool(found) == (max(shots) > 1)
    assert len({tuple(point.sizes) for point in found}) == len(found)
    for point in found:
        every = sorted(zip(point.sizes, point.judged, strict=True))
        assert [judged for _, judged in every if judged] == sorted(count for count in shots if count > 1)
        assert np.all((point.sizes >= 1) & (point.right <= point.judged + 1e-9) & (point.right >= 0))
    if max(shots) > 1:
        assert sum(found[0].sizes) >= 0.5 * sum(shots)
        assert found[-1].sizes.max() == 1


def test_shots_of_one_thing_count_as_one() -> None:
    x, y = examples([4, 4, 3], seed=1)
    once = learning_curve(x, y, options(), np.arange(11))
    again = [0, 0, 0, 5]
    copied = learning_curve(
        np.concatenate([x, x[again]]), np.concatenate([y, y[again]]), options(), np.append(np.arange(11), again)
    )
    for one, other in zip(once, copied, strict=True):
        np.testing.assert_array_equal(one.sizes, other.sizes)
        np.testing.assert_array_equal(one.judged, other.judged)
        np.testing.assert_allclose(one.right, other.right)
    session = np.where(y == 0, 0, np.arange(11))
    assert all(sorted(point.judged) == [0, 3, 4] for point in learning_curve(x, y, options(), session))


@pytest.mark.parametrize("solver", get_args(Solver))
@pytest.mark.parametrize("case", ["all the same", "nothing", "one large class", "one of each", "sessions"])
def test_a_forecast_is_finite_whatever_the_support_set(solver: Solver, case: str) -> None:
    x, y = examples({"one large class": [60, 1, 2], "one of each": [1, 1, 1]}.get(case, [4, 4, 4]), seed=3)
    if case == "all the same":
        x = np.repeat(x[:1], len(y), axis=0)
    elif case == "nothing":
        x = np.zeros_like(x)
    groups = y if case == "sessions" else np.arange(len(y))
    found = learning_curve(x, y, options(solver), groups)
    assert bool(found) == (case not in {"one of each", "sessions"})
    twice, five_times = forecast(found, np.bincount(y[np.unique(groups, return_index=True)[1]]), CurvePrior())
    assert 0 < twice.interval[0] < twice.accuracy < five_times.accuracy < five_times.interval[1] < 1


def test_leave_one_out_is_a_point_of_large_support_sets() -> None:
    x, y = examples([300, 210, 1], seed=2)
    left_out = leave_one_out(x, y, 3, options("ridge"))
    point = Point.of(left_out, y)
    np.testing.assert_allclose(point.sizes, [285, 199.5, 0.95])
    assert point.judged.tolist() == [300, 210, 0]
    right = left_out.verdicts(y) == y
    assert point.right.tolist() == [right[y == 0].sum(), right[y == 1].sum(), 0]
