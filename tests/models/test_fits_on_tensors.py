"""Fits of PyTorch tensors against NumPy's and scikit-learn's: the same heads, and no traffic between device and host."""

import warnings
from collections.abc import Callable
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from models.arrays import Floats, Ints
from models.heads.fitting import Linear, fit, fit_head, fit_linear
from models.heads.head import BackboneRef, EmbeddingSpace
from models.heads.solvers import dense_newton, logistic
from models.manifest import Solver
from tests.helpers.cuda import cuda  # noqa: F401 (a fixture)
from tests.helpers.devices import HostCopyError, on_device, revealed, watched
from tests.helpers.heads import options

SOLVERS: tuple[Solver, ...] = get_args(Solver)
BACKBONE = BackboneRef("b@1", "0" * 64)


def tasks(count: int, ways: int, shots: int, dim: int, spread: float, seed: int = 0, copies: int = 0) -> tuple[Floats, Ints]:
    """Features of norm one, (T, n, D), and labels (T, n). A small spread makes tasks separable, infinity leaves no classes.

    As many examples as `copies` are those of other classes once more.
    """
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.permutation(np.repeat(np.arange(ways), shots)) for _ in range(count)])
    noise = rng.normal(size=(count, ways * shots, dim))
    centres = np.take_along_axis(rng.normal(size=(count, ways, dim)), labels[..., None], axis=1)
    features = noise if np.isinf(spread) else centres + spread * noise
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    features[:, :copies] = features[:, ::-1][:, :copies]
    return features, labels


def probabilities(weight: Floats, bias: Floats, features: Floats) -> Floats:
    scores = features @ np.swapaxes(weight, -1, -2) + bias[..., None, :]
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Floats = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return shares


def asked(features: Floats) -> Floats:
    outside = np.random.default_rng(1).normal(size=(len(features), 10, features.shape[2]))
    return np.concatenate([features, outside / np.linalg.norm(outside, axis=-1, keepdims=True)], axis=1)


def assert_equals_numpy(features: Floats, labels: Ints, solver: Solver, C: float, atol: float = 1e-5) -> None:
    ways = int(labels.max()) + 1
    there = fit(torch.from_numpy(features), torch.from_numpy(labels), ways, options(solver, C))
    here = fit(features, labels, ways, options(solver, C))
    queries = asked(features)
    assert there.weight.dtype == torch.float64
    found = probabilities(there.weight.numpy(), there.bias.numpy(), queries)
    np.testing.assert_allclose(found, probabilities(here.weight, here.bias, queries), rtol=0, atol=atol)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("C", [0.01, 1.0, 3.0, 30.0, 1000.0])
@pytest.mark.parametrize("spread", [0.05, 1.0, np.inf], ids=["separable", "clustered", "random"])
@pytest.mark.parametrize(("count", "ways", "shots"), [(64, 2, 1), (7, 5, 5), (1, 5, 20), (3, 20, 2)])
def test_heads_are_those_of_numpy(solver: Solver, C: float, spread: float, count: int, ways: int, shots: int) -> None:
    assert_equals_numpy(*tasks(count, ways, shots, 64, spread), solver, C)


@pytest.mark.parametrize("C", [0.01, 3.0, 1000.0])
def test_images_under_two_labels_make_the_heads_of_numpy(C: float) -> None:
    for shots, copies in [(5, 4), (2, 5), (1, 2)]:
        assert_equals_numpy(*tasks(4, 5, shots, 640, 1.0, copies=copies), "logistic", C)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_thousand_classes(solver: Solver) -> None:
    """Many classes take the general way: a factorisation for each would cost more."""
    assert not dense_newton.is_small(1, 1000, 1000)
    assert_equals_numpy(*tasks(1, 1000, 1, 16, 1.0), solver, 1.0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 8), min_size=2, max_size=6),
    st.integers(2, 60),
    st.sampled_from([0.05, 1.0, np.inf]),
    st.integers(0, 3),
    st.floats(-2, 3).map(lambda exponent: 10.0**exponent),
    st.integers(0, 1000),
)
def test_any_logistic_head_is_that_of_scikit_learn(
    shots: list[int], dim: int, spread: float, copies: int, C: float, seed: int
) -> None:
    ways = len(shots)
    x, y = (part[0] for part in tasks(1, ways, max(shots), dim, spread, seed))
    left = np.concatenate([np.flatnonzero(y == k)[:count] for k, count in enumerate(shots)])
    left = np.r_[left, left[:copies]]
    x, y = x[left], y[left]
    y[len(y) - copies :] = (y[len(y) - copies :] + 1) % ways  # the same images once more, under another label
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # At so tight a tolerance scikit-learn complains of rounding.
        reference = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-9, max_iter=10_000).fit(x, y)
    linear = fit(torch.from_numpy(x), y, ways, options(C=C))
    queries = asked(x[None])[0]
    ours = probabilities(linear.weight.numpy(), linear.bias.numpy(), queries)
    np.testing.assert_allclose(ours, reference.predict_proba(queries), rtol=0, atol=1e-4)


def counted_general_fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of tasks that are handed to the general way from now on."""
    counts: list[int] = []
    solved: Callable[..., Any] = logistic._solved

    def count(xp: Any, x_TnD: Any, y_TnK: Any, C: float) -> Any:
        if isinstance(x_TnD, torch.Tensor):
            counts.append(len(x_TnD))
        return solved(xp, x_TnD, y_TnK, C)

    monkeypatch.setattr(logistic, "_solved", count)
    return counts


@pytest.mark.parametrize("C", [0.01, 3.0, 10.0, 30.0, 1000.0])
@pytest.mark.parametrize("spread", [0.05, 0.5, 1.0, np.inf])
@pytest.mark.parametrize(("ways", "shots"), [(5, 5), (2, 1), (20, 1)])
def test_the_steps_are_enough_for_features_of_norm_one(
    C: float, spread: float, ways: int, shots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    general = counted_general_fits(monkeypatch)
    x, y = tasks(16, ways, shots, 640, spread)
    fit(torch.from_numpy(x), torch.from_numpy(y), ways, options(C=C))
    assert general == []


def test_more_steps_are_taken_where_C_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    general = counted_general_fits(monkeypatch)
    x, y = tasks(8, 10, 5, 64, 0.3)
    fit(torch.from_numpy(x), torch.from_numpy(y), 10, options(C=1000.0))
    assert general == []


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_what_is_said_to_be_the_optimum_is_near_it(steps: int) -> None:
    for spread, C in product([0.05, 1.0, np.inf], [0.01, 1.0, 10.0, 100.0, 1000.0]):
        x, y = tasks(8, 5, 5, 64, spread)
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(y)).double()
        weight, bias, reached = dense_newton.attempt(torch.from_numpy(x), one_hot, torch.full((8, 1, 1), C).double(), steps)
        here = fit(x, y, 5, options(C=C))
        found, wanted = probabilities(weight.numpy(), bias.numpy(), asked(x)), probabilities(here.weight, here.bias, asked(x))
        assert np.abs(found - wanted)[reached.numpy()].max(initial=0.0) < 2e-5
        assert reached.all() or steps < 5 or C > 1.0


def test_an_intercept_on_its_way_is_no_optimum() -> None:
    """Features of zero need no weight, so only the intercept tells."""
    x, one_hot = torch.zeros(1, 10, 4).double(), torch.nn.functional.one_hot(torch.tensor([[0] * 9 + [1]])).double()
    ones = torch.ones(1, 1, 1).double()
    assert not dense_newton.attempt(x, one_hot, ones, 1).reached.any()
    _, bias, reached = dense_newton.attempt(x, one_hot, ones, dense_newton.FEW_STEPS)
    assert reached.all()
    np.testing.assert_allclose(torch.softmax(bias, -1).numpy(), [[0.9, 0.1]], atol=1e-6)


def test_only_tasks_that_do_not_reach_the_optimum_go_the_general_way(monkeypatch: pytest.MonkeyPatch) -> None:
    general = counted_general_fits(monkeypatch)
    x, y = tasks(6, 5, 20, 64, np.inf)
    x[[1, 4]] *= 10.0
    assert_equals_numpy(x, y, "logistic", 10.0)
    assert general == [2]


def test_no_tensor_that_is_not_finite_is_taken_for_an_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    general = counted_general_fits(monkeypatch)
    x, y = tasks(3, 2, 2, 8, 1.0)
    monkeypatch.setattr(dense_newton, "_newton", lambda _kernel, _eye, y, _logits: (y * torch.nan, y[:, :1] * torch.nan))
    assert_equals_numpy(x, y, "logistic", 3.0)
    assert general == [3]


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("ways", [2, 5])
def test_graphs_are_replayed_for_other_tasks_and_another_C(ways: int, monkeypatch: pytest.MonkeyPatch) -> None:
    general = counted_general_fits(monkeypatch)
    for seed, (count, C) in enumerate([(3, 3.0), (4, 3.0), (3, 0.01), (4, 10.0), (1, 100.0), (1, 100.0), (2, 1000.0)]):
        assert_equals_numpy(*tasks(count, ways, 5, 32, 1.0, seed), "logistic", C)
    assert general == []


def test_large_stacks_are_fitted_without_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_newton, "_CAPTURED", 0)
    monkeypatch.setattr(dense_newton, "_FEW", (None, dense_newton._FEW[1]))
    assert_equals_numpy(*tasks(4, 3, 2, 16, 1.0), "logistic", 3.0)


def space_and_examples(there: bool) -> tuple[EmbeddingSpace, Any, list[str]]:
    x, y = tasks(1, 5, 5, 640, 1.0)
    embeddings, mean = (x[0] + 1.0).astype(np.float32), np.full(640, 1.1, np.float32)
    labels = [f"class {k}" for k in y[0][:-1]] + ["class 0"]  # unequal classes
    if there:
        return EmbeddingSpace(BACKBONE, on_device(mean)), on_device(embeddings), labels
    return EmbeddingSpace(BACKBONE, mean), embeddings, labels


# Ridge and prototype are closed forms, of which the host reads nothing. A logistic fit asks once whether it is done.
WAITS: dict[Solver, int] = {"logistic": 1}  # the host looks once whether it converged; others have a closed form


@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_comes_to_the_host_between_embeddings_and_head(solver: Solver) -> None:
    space, embeddings, labels = space_and_examples(there=True)
    classes = list(dict.fromkeys(labels))
    indices = np.array([classes.index(label) for label in labels])
    with watched() as traffic:
        linear = fit_linear(embeddings, indices, 5, space, options(solver))
    assert (traffic.copies, traffic.waits) == (0, WAITS.get(solver, 0))
    assert traffic.launches > 0
    assert linear.weight.dtype == linear.bias.dtype == torch.float32
    host_space, host_embeddings, _ = space_and_examples(there=False)
    here = fit_head(host_embeddings, labels, host_space, options(solver))
    np.testing.assert_allclose(revealed(linear.weight), here.weight, rtol=0, atol=1e-4)
    np.testing.assert_allclose(revealed(linear.bias), here.bias, rtol=0, atol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_head_comes_to_the_host_by_one_copy(solver: Solver) -> None:
    space, embeddings, labels = space_and_examples(there=True)
    with watched(copies=1) as traffic:
        head = fit_head(embeddings, labels, space, options(solver))
    assert (traffic.copies, traffic.waits) == (1, WAITS.get(solver, 0) + 1)
    host_space, host_embeddings, _ = space_and_examples(there=False)
    other = fit_head(host_embeddings, labels, host_space, options(solver))
    assert head.labels == other.labels
    for array in (head.weight, head.bias):
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
    shares = head.probabilities(host_embeddings, host_space)
    np.testing.assert_allclose(shares, other.probabilities(host_embeddings, host_space), rtol=0, atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_labels_on_the_device_are_checked_by_one_question(solver: Solver) -> None:
    space, embeddings, _ = space_and_examples(there=True)
    features = space.features(embeddings, centre=True)
    with watched() as traffic:
        fit(features, on_device(np.arange(25) % 5), 5, options(solver))
    assert traffic.waits == WAITS.get(solver, 0) + 1
    for labels in ([0] * 25, [*range(24), -1], list(range(25))):
        for array in (np.array(labels), on_device(np.array(labels))):
            with pytest.raises(ValueError, match="class needs"):
                fit(features, array, 5, options(solver))


def test_linear_layers_of_numpy_are_already_on_the_host() -> None:
    linear = Linear(np.ones((2, 3)), np.zeros(2))
    assert linear.on_host() is linear


LEAKS: dict[str, Callable[[Any], object]] = {
    "numpy": lambda t: t.numpy(),
    "numpy of a view": lambda t: t[:2].detach().numpy(force=True),
    "tolist": lambda t: t.tolist(),
    "asarray": np.asarray,
    "dlpack": np.from_dlpack,
    "cpu": lambda t: t.cpu(),
    "to": lambda t: t.to("cpu"),
    "to, by name": lambda t: t.to(device=torch.device("cpu"), dtype=torch.float64),
    "copied into": lambda t: torch.zeros(3, 4).copy_(t),
    "added into": lambda t: torch.zeros(3, 4).add_(t),
    "as a result": lambda t: torch.add(t, t, out=torch.zeros(3, 4)),
    "base class": lambda t: t.as_subclass(torch.Tensor).numpy(),
    "after a product": lambda t: (t @ t.mT).cpu(),
}


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_values_of_a_device_tensor_do_not_come_to_the_host(name: str) -> None:
    with pytest.raises(HostCopyError), watched():
        LEAKS[name](on_device(np.ones((3, 4), np.float32)))


def test_waits_are_counted() -> None:
    tensor = on_device(np.ones((3, 4), np.float32))
    with watched(copies=1) as traffic:
        assert float(tensor.sum()) == 12.0
        assert bool((tensor == 1).all())
        assert tensor[tensor > 0].shape == (12,)
        torch.linalg.solve(tensor[:, :3] + on_device(np.eye(3, dtype=np.float32)), tensor)
        assert tensor.cpu().tolist() == [[1.0] * 4] * 3
    assert (traffic.waits, traffic.copies) == (5, 1)
