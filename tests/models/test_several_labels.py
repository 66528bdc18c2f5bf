"""Heads of several labels an image, beside scikit-learn and fits without each example."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from models.arrays import Bools, Floats
from models.heads.apply import stack_heads
from models.heads.head import BackboneRef, EmbeddingSpace, Head, features, sigmoid
from models.heads.several_labels import OPTIONS, fit_labels, leave_labels_out, targets_of
from models.labels import LabelSet
from tests.helpers.heads import options

BACKBONE = BackboneRef("tiny@1", "ab" * 32)


def made(n: int, dim: int, labels: int, seed: int, apart: float = 1.0, share: float = 0.4) -> tuple[Floats, list[LabelSet]]:
    """Embeddings (n, dim) that lie towards a direction for each of their labels. Each label has two examples and lacks two."""
    rng = np.random.default_rng(seed)
    has = rng.random((n, labels)) < share
    has[:2], has[2:4] = True, False
    directions = rng.normal(size=(labels, dim))
    return rng.normal(size=(n, dim)) + apart * has @ directions, sets_of(has)


def sets_of(has: Bools) -> list[LabelSet]:
    return [tuple(f"label {k}" for k in np.flatnonzero(own)) for own in has]


def space(dim: int) -> EmbeddingSpace:
    return EmbeddingSpace(BACKBONE, np.zeros(dim, np.float32))


def fitted(embeddings: Floats, sets: list[LabelSet]) -> Head:
    return fit_labels(embeddings.astype(np.float32), sets, space(embeddings.shape[1]), OPTIONS)


def probabilities(head: Head, embeddings: Floats) -> dict[str, Floats]:
    found = head.probabilities(embeddings.astype(np.float32), space(embeddings.shape[1]))
    return dict(zip(head.labels, found.T, strict=True))


@pytest.mark.parametrize(("n", "dim"), [(20, 50), (60, 20)])
def test_scores_are_those_of_scikit_learns_ridge(n: int, dim: int) -> None:
    embeddings, sets = made(n, dim, 3, seed=1)
    head, (labels, has) = fitted(embeddings, sets), targets_of(sets)
    assert (head.labels, head.independent) == (labels, True)
    x, queries = features(embeddings, None), features(made(15, dim, 3, seed=2)[0], None)
    found = np.log(1 / (1 / head.probabilities_of(queries.astype(np.float32), space(dim)) - 1))
    slopes = []
    for k in range(3):
        targets = np.where(has[:, k], 1.0, -1.0)
        scores = Ridge(alpha=1 / OPTIONS.C).fit(x, targets).predict(queries)
        usual = (Ridge(alpha=1 / OPTIONS.C).fit(x, targets).predict(x[has[:, k]]) - targets.mean()).mean()
        told = (scores - targets.mean()) / usual
        slope, offset = np.polyfit(told, found[:, k], 1)
        assert np.allclose(found[:, k], slope * told + offset, atol=1e-3)
        slopes.append((slope, offset))
    assert np.allclose(slopes, slopes[0], atol=1e-3)  # one calibration for all labels


@pytest.mark.parametrize(("n", "dim"), [(20, 50), (40, 12)])
@pytest.mark.parametrize("size", [1, 3])
def test_left_out_scores_are_those_of_a_fit_without_the_group(n: int, dim: int, size: int) -> None:
    embeddings, sets = made(n, dim, 3, seed=3)
    x, (labels, has), groups = features(embeddings, None), targets_of(sets), np.arange(n) // size
    left_out = leave_labels_out(x, has, OPTIONS, groups)
    head = fitted(embeddings, sets)
    whole = Ridge(alpha=1 / OPTIONS.C).fit(x, np.where(has, 1.0, -1.0))
    mean = np.where(has, 1.0, -1.0).mean(axis=0)
    usual = np.array([(whole.predict(x[has[:, k]])[:, k] - mean[k]).mean() for k in range(3)]) / (1 - mean)
    told = (whole.predict(x) - mean) / (1 - mean) / usual
    slope, offset = np.polyfit(told[:, 0], np.log(1 / (1 / probabilities(head, embeddings)[labels[0]] - 1)), 1)
    for group in np.unique(groups):
        out = groups == group
        targets = np.where(has[~out], 1.0, -1.0)
        known = has[~out].any(axis=0) & ~has[~out].all(axis=0)
        assert (left_out.judged[out] == known).all()
        scores = Ridge(alpha=1 / OPTIONS.C).fit(x[~out], targets).predict(x[out])
        told = (scores - targets.mean(axis=0)) / (1 - targets.mean(axis=0)) / usual
        expected = sigmoid(slope * told + offset)
        assert np.allclose(left_out.probabilities[out][:, known], expected[:, known], atol=1e-3)


def test_the_calibration_is_that_of_a_logistic_regression_where_there_are_many_examples() -> None:
    embeddings, sets = made(3000, 20, 1, seed=4, apart=0.4, share=0.1)
    x, (_, has) = features(embeddings, None), targets_of(sets)
    head = fitted(embeddings, sets)
    logits = np.log(1 / (1 / probabilities(head, embeddings)["label 0"] - 1))
    share = has.mean()
    logits = logits - 0.5 * np.log(share / (1 - share))  # without what the labels' share adds
    scores = Ridge(alpha=1 / OPTIONS.C).fit(x, np.where(has[:, 0], 1.0, -1.0)).predict(x)[:, None]
    expected = LogisticRegression(C=1e6, class_weight="balanced").fit(scores, has[:, 0]).decision_function(scores)
    assert np.abs(sigmoid(logits) - sigmoid(expected)).max() < 0.1  # The prior still pulls a little.


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_neither_the_order_of_examples_nor_that_of_labels_matters(seed: int) -> None:
    embeddings, sets = made(12, 20, 3, seed)
    order = np.random.default_rng(seed).permutation(12)
    first = probabilities(fitted(embeddings, sets), embeddings)
    turned: list[LabelSet] = [sets[i][::-1] for i in order]
    other = probabilities(fitted(embeddings[order], turned), embeddings)
    assert first.keys() == other.keys()
    for label, shares in first.items():
        assert np.allclose(shares, other[label], atol=1e-4)


@settings(deadline=None)
@given(positives=st.integers(1, 3), n=st.integers(4, 60), seed=st.integers(0, 1000), alike=st.booleans())
def test_probabilities_are_sane_for_few_positives_and_equal_images(positives: int, n: int, seed: int, alike: bool) -> None:
    rng = np.random.default_rng(seed)
    embeddings = np.repeat(rng.normal(size=(1, 8)), n, axis=0) if alike else rng.normal(size=(n, 8))
    sets: list[LabelSet] = [("rare",) if i < positives else () for i in range(n)]
    shares = probabilities(fitted(embeddings, sets), embeddings)["rare"]
    assert np.isfinite(shares).all()
    assert (shares >= 0).all()
    assert (shares <= 1).all()
    _, has = targets_of(sets)
    left_out = leave_labels_out(features(embeddings, None), has, OPTIONS, np.arange(n))
    assert np.isfinite(left_out.probabilities[left_out.judged]).all()
    assert (left_out.judged[:, 0] == np.where(has[:, 0], positives > 1, n - positives > 1)).all()


def test_a_label_that_is_rare_among_many_examples_is_found() -> None:
    rng = np.random.default_rng(8)
    sizes, directions = (10, 600, 900), 2.0 * np.eye(12)[:3]
    kinds = np.repeat(np.arange(3), sizes)
    sets: list[LabelSet] = [(f"label {k}",) for k in kinds]
    head = fitted(directions[kinds] + rng.normal(size=(len(kinds), 12)), sets)
    found = probabilities(head, directions[np.repeat(np.arange(3), 100)] + rng.normal(size=(300, 12)))
    got = np.stack([found[f"label {k}"].reshape(3, 100) >= 0.5 for k in range(3)]).mean(axis=-1)  # (label, class)
    assert np.diag(got).min() > 0.8
    assert got[0, 1:].max() < 0.3


def test_a_rare_label_is_found() -> None:
    rng = np.random.default_rng(5)
    directions = np.eye(20)[:3]
    sets: list[LabelSet] = [*(("a",) if i % 2 else ("b",) for i in range(49)), ("rare",)]
    kinds = [0 if i % 2 else 1 for i in range(49)] + [2]
    embeddings = directions[kinds] + 0.1 * rng.normal(size=(50, 20))
    head = fitted(embeddings, sets)
    asked = directions + 0.1 * rng.normal(size=(3, 20))
    found = head.probabilities(asked.astype(np.float32), space(20)) >= 0.5
    assert found[:, [head.labels.index(label) for label in ("a", "b", "rare")]].tolist() == np.eye(3, dtype=bool).tolist()


@pytest.mark.parametrize("sets", [[(), ()], [("a",), ("a", "b")], [("a",)]])
def test_what_cannot_be_learned_is_refused(sets: list[LabelSet]) -> None:
    with pytest.raises(ValueError, match="label"):
        fitted(np.ones((2, 4)), sets)


def test_a_head_is_stored_with_its_kind_and_older_heads_are_read() -> None:
    embeddings, sets = made(12, 20, 3, seed=6)
    head = fitted(embeddings, sets)
    again = Head.from_bytes(head.to_bytes())
    assert again.independent
    assert np.array_equal(again.weight, head.weight)
    older = Head(("a", "b"), np.ones((2, 4), np.float32), np.zeros(2, np.float32), options(), BACKBONE)
    data = older.to_bytes().replace(b',\\"independent\\":false', b" " * len(b',\\"independent\\":false'))
    assert b"independent" not in data
    assert not Head.from_bytes(data).independent


def test_heads_of_both_kinds_are_stacked_apart_and_answer_as_alone() -> None:
    embeddings, sets = made(12, 20, 3, seed=7)
    several = fitted(embeddings, sets)
    single = Head(several.labels, several.weight, several.bias, several.options, BACKBONE)
    assert np.allclose(single.probabilities(embeddings.astype(np.float32), space(20)).sum(axis=1), 1.0)
    stacks = stack_heads([several, single, several])
    assert [list(stack.positions) for stack in stacks] == [[0, 2], [1]]
    for stack, head in zip(stacks, (several, single), strict=True):
        found = stack.probabilities(embeddings.astype(np.float32), space(20))
        for shares in found:
            assert np.allclose(shares, head.probabilities(embeddings.astype(np.float32), space(20)), atol=1e-6)
