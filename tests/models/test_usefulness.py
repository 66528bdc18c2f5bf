"""The order of images to label: against the definition by hand, and under changes that must not matter."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from models.examples.usefulness import by_usefulness

Pool = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def pool(count: int, ways: int = 3, dim: int = 12, seed: int = 0) -> Pool:
    """Embeddings, probabilities and novelty of images of a few classes, and an example of each class."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(ways, dim))
    x = centres[rng.integers(0, ways, count)] + 0.6 * rng.normal(size=(count, dim))
    probabilities = rng.dirichlet(np.ones(ways), count).reshape(count, ways)
    return x.astype(np.float32), probabilities, rng.uniform(0.05, 0.95, count), centres.astype(np.float32)


pools = st.builds(pool, count=st.integers(0, 60), ways=st.integers(1, 5), dim=st.integers(2, 40), seed=st.integers(0, 10_000))


@settings(max_examples=50, deadline=None)
@given(pools)
def test_an_order_holds_every_image_once_and_is_the_same_each_time(drawn: Pool) -> None:
    order = by_usefulness(*drawn)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(len(drawn[0])))
    assert order.tolist() == by_usefulness(*drawn).tolist()


def by_definition(x: np.ndarray, probabilities: np.ndarray, novelty: np.ndarray, support: np.ndarray, count: int) -> list[int]:
    """The first images, each by the gain as it is written, in float64."""
    mean = x.mean(axis=0, dtype=np.float64)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(((a - mean) @ (b - mean) / np.linalg.norm(a - mean) / np.linalg.norm(b - mean) - 1) / 0.5))

    margins = [first - second for second, first in np.sort(probabilities, axis=1)[:, -2:]]
    chosen: list[int] = []
    for _ in range(count):
        known = [*support, *x[chosen]]
        covered = [max((k(image, each) for each in known), default=0.0) for image in x]
        gains = [
            (1 - novelty[j])
            * (1 - margins[j]) ** 0.3
            * sum((1 - novelty[i]) * max(0.0, k(x[i], x[j]) - covered[i]) for i in range(len(x)))
            for j in range(len(x))
        ]
        chosen.append(max((j for j in range(len(x)) if j not in chosen), key=lambda j: gains[j]))
    return chosen


@settings(max_examples=10, deadline=None)
@given(count=st.integers(8, 25), examples=st.integers(0, 3), seed=st.integers(0, 1000))
def test_the_first_images_are_their_definition(count: int, examples: int, seed: int) -> None:
    x, probabilities, novelty, support = pool(count, seed=seed)
    order = by_usefulness(x, probabilities, novelty, support[:examples])
    assert order[:5].tolist() == by_definition(x, probabilities, novelty, support[:examples], 5)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(8, 60), scale=st.floats(0.01, 100.0), seed=st.integers(0, 1000))
def test_neither_a_rotation_nor_a_scale_of_the_space_changes_the_first_images(count: int, scale: float, seed: int) -> None:
    x, probabilities, novelty, support = pool(count, seed=seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(x.shape[1],) * 2))
    turned, examples = ((scale * each @ rotation).astype(np.float32) for each in (x, support))
    expected = by_usefulness(x, probabilities, novelty, support)
    assert by_usefulness(turned, probabilities, novelty, examples)[:5].tolist() == expected[:5].tolist()


def test_the_larger_of_two_unseen_kinds_comes_first_then_the_other_and_no_stranger() -> None:
    kinds = np.repeat([0, 1, 2, 3], [5, 8, 12, 6])
    x = (np.eye(4)[kinds] + 0.01 * np.random.default_rng(0).normal(size=(31, 4))).astype(np.float32)
    novelty = np.where(kinds == 3, 0.99, 0.1)
    order = by_usefulness(x, np.full((31, 2), 0.5), novelty, np.eye(4, dtype=np.float32)[:1])
    assert kinds[order[:2]].tolist() == [2, 1]


def test_one_of_equal_images_is_enough() -> None:
    x = np.eye(3, dtype=np.float32)[[0] * 10 + [1] * 9 + [2]]
    order = by_usefulness(x, np.ones((20, 1)), np.full(20, 0.2), x[:0])
    assert order[:3].tolist() == [0, 10, 19]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_images_that_are_all_equal_are_in_some_order(value: float) -> None:
    x = np.full((7, 3), value, np.float32)
    assert sorted(by_usefulness(x, np.ones((7, 1)), np.ones(7), x[:2])) == list(range(7))


def test_ten_thousand_images_are_ordered_in_a_tenth_of_a_second_of_one_core() -> None:
    large = pool(10_000, dim=640)
    with threadpool_limits(1, user_api="blas"):
        seconds = []
        for _ in range(3):
            started = time.process_time()
            order = by_usefulness(*large)
            seconds.append(time.process_time() - started)
    assert sorted(order) == list(range(10_000))
    assert min(seconds) <= 0.1
