"""The last layer, against scikit-learn, against the equations it is said to solve, and against itself."""

import math
import warnings
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from models.heads.fitting import Linear, fit, fit_head
from models.heads.head import BackboneRef, EmbeddingSpace
from models.manifest import Solver
from tests.helpers.heads import options

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["clustered", "unit", "gaussian"]


def examples(kind: Kind, shots: Sequence[int], dim: int, seed: int = 0, copies: int = 0) -> tuple[Floats, Ints]:
    """Features and labels: shots[k] examples of class k, in random order; `copies` of them again, some under another label."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(shots)), shots)
    features = rng.normal(size=(len(labels), dim))
    if kind == "clustered":
        features += 0.7 * rng.normal(size=(len(shots), dim))[labels]
        features -= features.mean(axis=0)
    if kind != "gaussian":
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    copied = rng.integers(len(labels), size=copies)
    relabelled = np.where(rng.random(copies) < 0.5, labels[copied], rng.integers(len(shots), size=copies))
    order = rng.permutation(len(labels) + copies)
    return np.r_[features, features[copied]][order], np.r_[labels, relabelled][order]


def queries(features: Floats) -> Floats:
    """Vectors of the examples' size, in their span and out of it."""
    outside = np.random.default_rng(1).normal(size=(20, features.shape[1]))
    outside *= np.linalg.norm(features, axis=1).mean() / np.linalg.norm(outside, axis=1, keepdims=True)
    return np.concatenate([features, outside])


def probabilities(linear: Linear, features: Floats) -> Floats:
    scores = features @ np.asarray(linear.weight).T + np.asarray(linear.bias)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares


def assert_equals_scikit_learn(features: Floats, labels: Ints, C: float) -> None:
    ways = int(labels.max()) + 1
    solver = "newton-cholesky" if ways * features.shape[1] <= 700 else "lbfgs"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # At so tight a tolerance scikit-learn complains of rounding.
        reference = LogisticRegression(C=C, solver=solver, tol=1e-9, max_iter=20_000).fit(features, labels)
    ours = probabilities(fit(features, labels, ways, options("logistic", C)), queries(features))
    np.testing.assert_allclose(ours, reference.predict_proba(queries(features)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("C", [1e-3, 0.1, 3.0, 1e3])
@pytest.mark.parametrize(
    ("shots", "dim"),
    [([1] * 2, 64), ([1] * 5, 64), ([5] * 5, 640), ([20] * 5, 16), ([20, 1, 7], 10), ([5] * 20, 32), ([2] * 100, 24)],
    ids=lambda value: f"{len(value)} classes" if isinstance(value, list) else f"D={value}",
)
def test_logistic_equals_scikit_learn(shots: list[int], dim: int, C: float) -> None:
    assert_equals_scikit_learn(*examples("clustered", shots, dim), C)


@pytest.mark.parametrize("C", [3.0, 1e3, 1e4])
@pytest.mark.parametrize("dim", [4, 40])
def test_images_under_two_labels_each_are_fitted_as_well(dim: int, C: float) -> None:
    features, labels = examples("unit", [2, 2, 2], dim)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_equals_scikit_learn(np.r_[features, features], np.r_[labels, (labels + 1) % 3], C)


problems = st.builds(
    examples,
    st.sampled_from(["clustered", "unit", "gaussian"]),
    st.lists(st.integers(1, 20), min_size=2, max_size=7),
    st.integers(2, 40),
    st.integers(0, 1000),
    st.integers(0, 5),
)
strengths = st.floats(-3, 3).map(lambda exponent: 10.0**exponent)


@settings(max_examples=60, deadline=None)
@given(problems, strengths)
def test_logistic_equals_scikit_learn_on_anything(problem: tuple[Floats, Ints], C: float) -> None:
    assert_equals_scikit_learn(*problem, C)


@settings(deadline=None)
@given(problems, st.floats(-3, 6).map(lambda exponent: 10.0**exponent))
def test_the_gradient_vanishes_at_the_logistic_optimum(problem: tuple[Floats, Ints], C: float) -> None:
    features, labels = problem
    ways = int(labels.max()) + 1
    linear = fit(features, labels, ways, options("logistic", C))
    weight, bias = torch.tensor(linear.weight, requires_grad=True), torch.tensor(linear.bias, requires_grad=True)
    scores = torch.from_numpy(features) @ weight.T + bias
    losses = torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels), reduction="sum")
    # Two classes have one vector, w = W₁ − W₀, and one penalty: as in scikit-learn.
    penalty = (weight[1] - weight[0]).square().sum() / 2 if ways == 2 else weight.square().sum() / 2
    of_weight, of_bias = torch.autograd.grad(C * losses + penalty, (weight, bias))
    terms = max(1.0, C * len(features) * float(np.linalg.norm(features, axis=1).max()))
    assert float(of_weight.norm()) <= 1e-6 * terms
    assert float(of_bias.norm()) <= 1e-6 * terms


SOLVERS: tuple[Solver, ...] = get_args(Solver)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("shots", "dim"), [(3, 40), (12, 20)])
def test_a_stack_of_tasks_equals_its_tasks_on_either_library(solver: Solver, shots: int, dim: int) -> None:
    kinds: list[Kind] = ["clustered", "unit", "gaussian", "clustered"]
    tasks = [examples(kind, [shots] * 4, dim, seed) for seed, kind in enumerate(kinds)]
    features, labels = (np.stack(parts) for parts in zip(*tasks, strict=True))
    labels[3], features[3] = np.arange(4 * shots) % 4, features[3, 0]  # a task that is solved before it begins
    chosen = options(solver, C=30.0)
    stack = fit(features, labels, 4, chosen)
    tensors = fit(torch.from_numpy(features), torch.from_numpy(labels), 4, chosen)
    assert isinstance(tensors.weight, torch.Tensor)
    for index in range(len(tasks)):
        alone = fit(features[index], labels[index], 4, chosen)
        asked = queries(features[index])
        for other in (stack, tensors):
            of_task = Linear(other.weight[index], other.bias[index])
            np.testing.assert_allclose(probabilities(of_task, asked), probabilities(alone, asked), rtol=0, atol=1e-6)


@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("shots", "dim"), [([1, 1], 10), ([5] * 5, 64), ([9, 1, 6], 16), ([20] * 3, 12)])
def test_ridge_solves_the_normal_equations(shots: list[int], dim: int, C: float) -> None:
    features, labels = examples("clustered", shots, dim)
    targets = np.eye(len(shots))[labels]
    linear = fit(features, labels, len(shots), options("ridge", C))
    design = np.c_[features, np.ones(len(features))]
    penalty = np.diag(np.r_[np.full(dim, 1 / C), 0.0])
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ targets)
    np.testing.assert_allclose(np.c_[linear.weight, linear.bias], solution.T, rtol=1e-5, atol=1e-7)
    reference = Ridge(alpha=1 / C).fit(features, targets)
    np.testing.assert_allclose(linear.weight, reference.coef_, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(linear.bias, reference.intercept_, rtol=1e-5, atol=1e-7)


def test_prototype_scores_are_cosines() -> None:
    features, labels = examples("clustered", [4, 1, 7], 10)
    linear = fit(features, labels, 3, options("prototype"))
    for k in range(3):
        mean = np.mean([feature for feature, label in zip(features, labels, strict=True) if label == k], axis=0)
        for query in features:
            cosine = query @ mean / (np.linalg.norm(query) * np.linalg.norm(mean))
            assert query @ linear.weight[k] + linear.bias[k] == pytest.approx(cosine, abs=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_examples_without_direction_give_a_head_all_the_same(solver: Solver) -> None:
    opposite = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    for features in (opposite, np.zeros((4, 2)), np.zeros((4, 8)), np.ones((4, 8))):
        linear = fit(features, np.array([0, 0, 1, 1]), 2, options(solver))
        np.testing.assert_allclose(probabilities(linear, features), 0.5, atol=1e-9)


@pytest.mark.parametrize(
    "labels",
    [[0, 0, 2, 2], [0, 1, 2, 3], [0, 1, 2, -1], [0, 1, 2]],
    ids=["a class without examples", "a label beyond", "a label below", "too few labels"],
)
def test_labels_that_do_not_fit_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"class needs|do not belong"):
        fit(np.eye(4), np.array(labels), 3, options())


def test_fit_head_orders_classes_by_first_example_and_keeps_its_terms() -> None:
    embeddings = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    space = EmbeddingSpace(BackboneRef("b@1", "0" * 64), embeddings.mean(axis=0))
    head = fit_head(embeddings, ["b", "a", "b", "c", "a", "c"], space, options(C=1e3))
    assert head.labels == ("b", "a", "c")
    assert (head.options, head.backbone) == (options(C=1e3), space.backbone)
    assert head.weight.dtype == head.bias.dtype == np.float32
    assert head.probabilities(embeddings, space).argmax(axis=1).tolist() == [0, 1, 0, 2, 1, 2]


@pytest.mark.parametrize("labels", [["a", "a"], ["a"], ["a", "b", "a"]])
def test_fit_head_needs_two_classes_and_a_label_for_each_example(labels: list[str]) -> None:
    space = EmbeddingSpace(BackboneRef("b@1", "0" * 64), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match=r"two classes|do not belong"):
        fit_head(np.eye(2, 3, dtype=np.float32), labels, space, options())


@settings(deadline=None)
@given(st.permutations(range(12)), st.sampled_from(SOLVERS), st.integers(-20, 20))
def test_neither_order_nor_scale_of_the_examples_matters(order: list[int], solver: Solver, exponent: int) -> None:
    rng = np.random.default_rng(0)
    labels = [f"class {i % 4}" for i in range(12)]
    embeddings = (rng.normal(size=(12, 16)) + 1).astype(np.float32)
    asked = (rng.normal(size=(5, 16)) + 1).astype(np.float32)
    mean = embeddings.mean(axis=0)
    scale = np.float32(math.ldexp(1.0, exponent))
    backbone = BackboneRef("b@1", "0" * 64)
    space, scaled = EmbeddingSpace(backbone, mean), EmbeddingSpace(backbone, mean * scale)
    head = fit_head(embeddings, labels, space, options(solver))
    other = fit_head(embeddings[order] * scale, [labels[i] for i in order], scaled, options(solver))
    columns = [other.labels.index(label) for label in head.labels]
    np.testing.assert_allclose(
        other.probabilities(asked * scale, scaled)[:, columns], head.probabilities(asked, space), atol=1e-6
    )


@pytest.mark.parametrize("shots", [[1, 3, 9], [4, 4, 4], [2, 11]])
def test_fit_head_expects_every_class_equally_often(shots: list[int]) -> None:
    x, y = examples("unit", shots, 40)
    space = EmbeddingSpace(BackboneRef("name@1", "0" * 64), np.zeros(40, np.float32))
    head = fit_head(x.astype(np.float32), [str(label) for label in y], space, options(C=3.0, centre=False))
    oracle = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000).fit(x, y)
    queried = queries(x)
    order = [int(label) for label in head.labels]
    expected = (oracle.predict_proba(queried) / np.bincount(y))[:, order]
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(head.probabilities(queried.astype(np.float32), space), expected, atol=1e-4)
