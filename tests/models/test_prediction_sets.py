"""Prediction sets beside fits by hand, and what must hold of any task."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from models.arrays import Floats, Ints
from models.heads.fitting import fit_head
from models.heads.head import BackboneRef, EmbeddingSpace, softmax
from models.heads.leave_one_out import LeftOut
from models.heads.prediction_sets import SetRule, rule_of, set_rule
from tests.helpers.heads import options

SPACE = EmbeddingSpace(BackboneRef("name@1", "0" * 64), np.zeros(12, np.float32))


def examples(counts: list[int], seed: int) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    x = rng.normal(size=(len(counts), 12))[labels] + rng.normal(size=(len(labels), 12))
    return x / np.linalg.norm(x, axis=1, keepdims=True), labels


def left_out_by_hand(x: Floats, y: Ints, C: float, temperature: float) -> Floats:
    """Each example's probabilities from scikit-learn's fit on the others, corrected for the classes' shares in them."""
    rows = []
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        model = LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(x[others], y[others])
        counts = np.bincount(y[others])
        scores = x[i] @ model.coef_.T + model.intercept_ - np.log(counts / counts.mean())
        rows.append(softmax(scores, temperature))
    return np.array(rows)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.99])
def test_equals_refits_by_scikit_learn_and_a_search_through_all_thresholds(coverage: float) -> None:
    x, y = examples([4, 6, 3], seed=1)
    embeddings = x.astype(np.float32)
    asked = options(C=2.0, temperature=0.6, centre=False)
    head = fit_head(embeddings, [str(label) for label in y], SPACE, asked)
    rule = set_rule(head, embeddings, [str(label) for label in y], SPACE, np.arange(len(y)))
    found = left_out_by_hand(x, y, 2.0, 0.6)
    relied, least = 25 / (25 + len(y)), 0.0
    for t in sorted(found.ravel()):
        held = [
            relied * sum(p for p in row if p >= t) + (1 - relied) * (row[label] >= t) for row, label in zip(found, y, strict=True)
        ]
        if np.mean(held) >= coverage:
            least = t
    just_in, just_out = np.array([[least + 1e-4, 0.0, 0.0]]), np.array([[least - 1e-4, 0.0, 0.0]])
    assert rule.inside(just_in, coverage)[0, 0]
    assert not rule.inside(just_out, coverage)[0, 0]
    assert rule.finest == pytest.approx(13 / 14)


def test_where_nothing_can_be_left_out_labels_are_taken_up_to_the_middle_of_one() -> None:
    x, y = examples([1, 1, 1, 1], seed=2)
    head = fit_head(x.astype(np.float32), [str(label) for label in y], SPACE, options(centre=False))
    rule = set_rule(head, x.astype(np.float32), [str(label) for label in y], SPACE, y)
    assert rule.finest is None
    probabilities = np.array([[0.1, 0.6, 0.25, 0.05], [0.97, 0.01, 0.01, 0.01], [0.25, 0.25, 0.25, 0.25]])
    # The middles: 0.3, 0.725, 0.9, 0.975; 0.485, 0.975 and more; 0.125, 0.375, 0.625, 0.875.
    assert rule.inside(probabilities, 0.8).tolist() == [[False, True, True, False], [True] + 3 * [False], [True] * 3 + [False]]
    assert rule.inside(probabilities, 0.95)[0].tolist() == [True, True, True, False]
    assert rule.inside(np.array([[0.1, 0.9]]), 0.2).tolist() == [[False, True]], "the first label is always there"


def test_shots_of_one_thing_count_as_one() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    labels = np.array([0, 0, 1, 1])
    rules = []
    for copies in (1, 3):
        rows = np.array([0] * copies + [1, 2, 3])
        left_out = LeftOut(np.ones(len(rows), bool), shares[rows], None, np.unique(rows, return_inverse=True)[1])
        rules.append(rule_of(left_out, labels[rows]))
    grid = np.linspace(0, 1, 201)[:, None]
    assert rules[0].finest == rules[1].finest == 0.8
    for coverage in (0.3, 0.7, 0.9):
        assert (rules[0].inside(grid, coverage) == rules[1].inside(grid, coverage)).all()


def rules(counts: list[int], seed: int, order: Ints | None = None, names: list[int] | None = None) -> tuple[SetRule, Floats]:
    """A task's rule, and its head's probabilities of some images, with the classes by number."""
    x, y = examples(counts, seed)
    order = np.arange(len(y)) if order is None else order
    names = list(range(len(counts))) if names is None else names
    support, labels = x[order].astype(np.float32), [str(names[label]) for label in y[order]]
    head = fit_head(support, labels, SPACE, options(temperature=0.5, centre=False))
    queries = np.random.default_rng(seed + 1).normal(size=(15, 12)).astype(np.float32)
    columns = [head.labels.index(str(name)) for name in names]
    return set_rule(head, support, labels, SPACE, order), head.probabilities(queries, SPACE)[:, columns]


TASKS = {"counts": st.lists(st.integers(1, 6), min_size=2, max_size=5), "seed": st.integers(0, 1000)}


@settings(max_examples=40, deadline=None)
@given(**TASKS, lower=st.floats(0.01, 0.99), higher=st.floats(0.01, 0.99))
def test_sets_grow_with_coverage_and_hold_the_first_label_unless_empty(
    counts: list[int], seed: int, lower: float, higher: float
) -> None:
    lower, higher = sorted((lower, higher))
    rule, probabilities = rules(counts, seed)
    small, large = rule.inside(probabilities, lower), rule.inside(probabilities, higher)
    assert (small <= large).all()
    for inside in (small, large):
        first = inside[np.arange(len(inside)), probabilities.argmax(axis=1)]
        assert (first == inside.any(axis=1)).all()


@settings(max_examples=30, deadline=None)
@given(**TASKS, coverage=st.sampled_from([0.5, 0.8, 0.9]), data=st.data())
def test_the_order_of_examples_and_classes_does_not_matter(
    counts: list[int], seed: int, coverage: float, data: st.DataObject
) -> None:
    order = np.array(data.draw(st.permutations(range(sum(counts)))))
    names = data.draw(st.permutations(range(len(counts))))
    (rule, probabilities), (other, again) = rules(counts, seed), rules(counts, seed, order, list(names))
    np.testing.assert_allclose(probabilities, again, atol=1e-4)
    inside, permuted = rule.inside(probabilities, coverage), other.inside(probabilities, coverage)
    # Solvers stop at slightly different places, so labels just at the threshold may change sides.
    near = np.abs(probabilities[:, :, None] - np.append(rule.probabilities, 2.0)).min(axis=2) < 1e-3
    assert (inside == permuted)[~near].all() or not len(rule.covered)
    assert rule.finest == other.finest


def test_sets_hold_the_right_label_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    held: dict[float, list[float]] = {coverage: [] for coverage in (0.8, 0.9, 0.95)}
    for _ in range(200):
        shares = rng.dirichlet(np.full(4, 0.3), size=400)
        labels = (rng.uniform(size=(400, 1)) < shares.cumsum(axis=1)).argmax(axis=1)
        left_out = LeftOut(np.ones(20, bool), shares[:20], None, np.arange(20))
        rule = rule_of(left_out, labels[:20])
        for coverage, found in held.items():
            found.append(float(rule.inside(shares[20:], coverage)[np.arange(380), labels[20:]].mean()))
    for coverage, found in held.items():
        assert np.mean(found) == pytest.approx(coverage, abs=0.02)
