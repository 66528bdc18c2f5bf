"""Leave-one-out beside scikit-learn's own, and beside fits by hand."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from models.arrays import Floats, Ints
from models.heads.fitting import fit_head
from models.heads.head import BackboneRef, EmbeddingSpace, features
from models.heads.leave_one_out import FOLDS, MAX_LEFT_OUT, LeftOut, leave_one_out, wanting
from models.manifest import HeadOptions, Solver
from tests.helpers.heads import left_out_by_scikit_learn, options


def examples(shots: list[int], dim: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Features of classes that overlap."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(shots)), shots)
    order = rng.permutation(len(labels))
    x = rng.normal(size=(len(shots), dim))[labels] + 1.5 * rng.normal(size=(len(labels), dim))
    return features(x, None)[order], labels[order]


def fresh_verdict(x: Floats, y: Ints, example: int, others: NDArray[np.bool_], asked: HeadOptions) -> Floats:
    """What a head says of an example that was fitted on the others, of which every class has some."""
    space = EmbeddingSpace(BackboneRef("name@1", "0" * 64), np.zeros(x.shape[1], np.float32))
    head = fit_head(x[others].astype(np.float32), [str(label) for label in y[others]], space, asked)
    order = [head.labels.index(str(k)) for k in range(y.max() + 1)]
    verdict: Floats = head.probabilities(x[example : example + 1].astype(np.float32), space)[0, order]
    return verdict


@pytest.mark.parametrize(("shots", "dim"), [([5, 5, 5], 40), ([3, 2, 6, 4], 8), ([12, 9], 10)])
def test_equals_scikit_learns(shots: list[int], dim: int) -> None:
    x, y = examples(shots, dim)
    expected = left_out_by_scikit_learn(x, y, 3.0)
    found = leave_one_out(x.astype(np.float32), y, len(shots), options(C=3.0))
    assert found.folds is None
    assert found.judged.all()
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)


def test_images_under_two_labels_each_are_judged_as_well() -> None:
    x, y = examples([6, 6, 6], 40)
    x, y = np.concatenate([x, x]), np.concatenate([y, (y + 1) % 3])
    expected = left_out_by_scikit_learn(x, y, 100.0)
    np.testing.assert_allclose(leave_one_out(x, y, 3, options(C=100.0)).probabilities, expected, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    shots=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    dim=st.integers(1, 30),
    solver=st.sampled_from(get_args(Solver)),
    seed=st.integers(0, 1000),
)
def test_each_verdict_is_that_of_a_fresh_fit_without_the_example(shots: list[int], dim: int, solver: Solver, seed: int) -> None:
    x, y = examples(shots, dim, seed)
    asked = options(solver, temperature=0.5)
    found = leave_one_out(x, y, len(shots), asked)
    for i in range(len(y)):
        assert found.judged[i] == (shots[y[i]] > 1)
        if found.judged[i]:
            others = np.arange(len(y)) != i
            np.testing.assert_allclose(found.probabilities[i], fresh_verdict(x, y, i, others, asked), atol=2e-5)
        else:
            assert np.isnan(found.probabilities[i]).all()


def test_many_examples_are_judged_in_folds_that_leave_something_of_every_class() -> None:
    shots = [MAX_LEFT_OUT, 40, 2, 1]
    x, y = examples(shots, 12)
    found = leave_one_out(x, y, len(shots), options("ridge"))
    assert found.folds == FOLDS
    np.testing.assert_array_equal(found.judged, y != 3)
    alone = leave_one_out(x[:MAX_LEFT_OUT], y[:MAX_LEFT_OUT], len(shots), options("ridge"))
    assert alone.folds is None
    both = found.judged[:MAX_LEFT_OUT] & alone.judged
    np.testing.assert_allclose(found.probabilities[:MAX_LEFT_OUT][both], alone.probabilities[both], atol=0.05)
    assert leave_one_out(x, y, len(shots), options("prototype")).folds is None


def test_a_class_wants_images_for_what_it_gives_away_and_takes_from_others() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.2, 0.8, 0.0], [np.nan] * 3])
    left_out = LeftOut(np.array([True, True, True, False]), probabilities, None, np.arange(4))
    found = wanting(left_out, np.array([0, 0, 1, 2]))
    np.testing.assert_allclose(found[:2], [(0.1 + 0.5 + 0.2) / 2, (0.2 + 0.1 + 0.5) / 1])
    assert found[2] == np.inf


@settings(max_examples=40, deadline=None)
@given(
    shots=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    dim=st.integers(1, 30),
    solver=st.sampled_from(get_args(Solver)),
    things=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_each_verdict_is_that_of_a_fresh_fit_without_the_group(
    shots: list[int], dim: int, solver: Solver, things: int, seed: int
) -> None:
    x, y = examples(shots, dim, seed)
    groups = np.random.default_rng(seed).integers(0, things, len(y))
    asked = options(solver, temperature=0.5)
    found = leave_one_out(x, y, len(shots), asked, groups)
    for i in range(len(y)):
        others = (y != y[i]) | (groups != groups[i])
        assert found.judged[i] == (y[i] in y[others])
        if found.judged[i]:
            np.testing.assert_allclose(found.probabilities[i], fresh_verdict(x, y, i, others, asked), atol=2e-5)
        else:
            assert np.isnan(found.probabilities[i]).all()


def test_groups_are_left_out_as_scikit_learn_leaves_them_out() -> None:
    x, y = examples([6, 6, 6], 40)
    groups = np.concatenate([np.arange(18) % 4, np.arange(18) // 3])[::2] + 10 * y
    oracle = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000)
    expected = cross_val_predict(oracle, x, y, groups=groups, cv=LeaveOneGroupOut(), method="predict_proba")
    others = np.array([np.bincount(y[groups != group], minlength=3) for group in groups])
    expected = expected / others / (expected / others).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(leave_one_out(x, y, 3, options(C=3.0), groups).probabilities, expected, atol=1e-4)


def test_folds_never_part_a_group() -> None:
    shots = [MAX_LEFT_OUT, 42]
    x, y = examples(shots, 12)
    groups = np.arange(len(y)) // 3
    found = leave_one_out(x, y, 2, options("ridge"), groups)
    assert found.folds == FOLDS
    assert found.judged.all()
    # Copies of one example that are left out together are judged by nothing that has seen them.
    twice = np.concatenate([x, x])
    of_copies = leave_one_out(twice, np.tile(y, 2), 2, options("ridge"), np.tile(np.arange(len(y)), 2)).probabilities
    np.testing.assert_allclose(of_copies[: len(y)], of_copies[len(y) :], atol=1e-9)


@pytest.mark.parametrize("solver", get_args(Solver))
def test_a_tie_is_not_recognised(solver: Solver) -> None:
    """The same images under both labels: no head can tell which is meant."""
    x, _ = examples([3, 3], 20)
    x, y = np.concatenate([x[:1]] * 4), np.array([0, 0, 1, 1])
    assert not (leave_one_out(x, y, 2, options(solver)).verdicts(y) == y).any()
    apart = np.concatenate([x[:2], -x[:2]])
    assert (leave_one_out(apart, y, 2, options(solver)).verdicts(y) == y).all()


def test_each_group_counts_as_one_example() -> None:
    found = leave_one_out(*examples([4, 3], 10), 2, options(), np.array([0, 0, 0, 1, 1, 1, 2]))
    np.testing.assert_allclose([found.weights[found.groups == group].sum() for group in np.unique(found.groups)], 1.0)
