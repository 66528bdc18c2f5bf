"""Queries that help each other: what a request's images may change in each other's answers, and what not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.arrays import Ints
from models.heads.head import Float32, features, softmax
from models.heads.transductive import share_queries

DIM = 16

Floats = NDArray[np.float64]
Request = tuple[Floats, Float32, Ints, Float32]


def request_of(ways: int, shots: int, count: int, seed: int, spread: float = 1.0) -> Request:
    """The head's probabilities (Q, K), support features, their labels and query features, around a centre for each class."""
    rng = np.random.default_rng(seed)
    centres, labels = rng.normal(size=(ways, DIM)), np.repeat(np.arange(ways), shots)
    support, query = (
        features((centres[of] + spread * rng.normal(size=(len(of), DIM))).astype(np.float32), None)
        for of in (labels, np.arange(count) % ways)
    )
    means = np.stack([support[labels == k].mean(axis=0) for k in range(ways)])
    return softmax(query @ means.T, 0.2), support, labels, query


requests = st.builds(request_of, st.integers(2, 6), st.integers(1, 4), st.integers(1, 20), st.integers(0, 1000))


@settings(deadline=None)
@given(requests)
def test_answers_are_probabilities(request: Request) -> None:
    together = share_queries(*request)
    assert together.shape == request[0].shape
    assert (together >= 0).all()
    np.testing.assert_allclose(together.sum(axis=-1), 1.0, atol=1e-9)


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 1000))
def test_a_single_image_is_answered_by_the_head(ways: int, shots: int, seed: int) -> None:
    alone, support, labels, query = request_of(ways, shots, 1, seed)
    np.testing.assert_allclose(share_queries(alone, support, labels, query), alone, atol=1e-9)


@settings(deadline=None)
@given(requests, st.integers(0, 1000))
def test_the_order_of_images_and_classes_does_not_matter(request: Request, seed: int) -> None:
    alone, support, labels, query = request
    rng = np.random.default_rng(seed)
    images, classes = rng.permutation(len(alone)), rng.permutation(alone.shape[1])
    renamed = np.argsort(classes)[labels]
    together = share_queries(*request)
    np.testing.assert_array_equal(share_queries(alone[images], support, labels, query[images]), together[images])
    shuffled = share_queries(alone[images][:, classes], support, renamed, query[images])
    np.testing.assert_allclose(shuffled, together[images][:, classes], atol=1e-6)


@settings(deadline=None)
@given(requests, st.integers(0, 1000))
def test_images_of_no_weight_change_nobodys_answer(request: Request, seed: int) -> None:
    alone, support, labels, query = request
    count = len(query)
    strangers = features(np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32), None)
    both = np.concatenate([alone, np.roll(alone, 1, axis=1)]), support, labels

    def answers(others: Float32) -> Floats:
        weights = np.repeat([1.0, 0.0], count)
        return share_queries(*both, np.concatenate([query, others]), weights)[:count]

    np.testing.assert_allclose(answers(strangers), answers(-strangers), atol=1e-9)


def one_by_one(alone: Floats, support: Float32, labels: Ints, query: Float32) -> Floats:
    """The definition, a query and a class at a time; of equally many examples of each class."""
    count, ways = alone.shape
    faded = (5 - len(support) / ways) / 4
    share = faded * 0.75 * (count - 1) / (count - 1 + 10)
    counted, in_means = alone, np.zeros_like(alone)
    for _ in range(10):
        scores = (1 - share) * np.log(alone)
        for i, k in np.ndindex(count, ways):
            others = np.arange(count) != i
            mean = support[labels == k].sum(axis=0) + in_means[others, k] @ query[others]
            scores[i, k] += share * 16.0 * (query[i] @ mean) / np.linalg.norm(mean)
            scores[i, k] += faded * np.log((counted[others, k].sum() + 10) / (count - 1 + 10 * ways))
        counted = in_means = softmax(scores, 1.0)
    return counted


@settings(deadline=None, max_examples=10)
@given(requests)
def test_no_query_is_compared_with_means_that_it_has_a_part_in(request: Request) -> None:
    np.testing.assert_allclose(share_queries(*request), one_by_one(*request), atol=1e-3)


def test_a_stack_of_tasks_is_its_tasks() -> None:
    tasks = [request_of(5, 2, 12, seed) for seed in range(4)]
    alone, support, _, query = (np.stack(parts) for parts in zip(*tasks, strict=True))
    labels = tasks[0][2]
    for task, together in zip(tasks, share_queries(alone, support, labels, query), strict=True):
        np.testing.assert_allclose(together, share_queries(*task), atol=1e-4)


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(5, 9), st.integers(1, 20), st.integers(0, 1000))
def test_from_five_examples_a_class_on_the_head_answers(ways: int, shots: int, count: int, seed: int) -> None:
    alone, support, labels, query = request_of(ways, shots, count, seed)
    np.testing.assert_array_equal(share_queries(alone, support, labels, query), alone)


def test_images_of_one_class_alone_are_not_dealt_out_among_the_others() -> None:
    """Over tasks of one example per class, of which one only is asked for."""
    alone_right = together_right = 0
    for seed in range(20):
        alone, support, labels, query = request_of(5, 1, 400, seed, spread=1.3)
        of = np.arange(0, 400, 5)
        alone_right += int((alone[of].argmax(axis=1) == 0).sum())
        together_right += int((share_queries(alone[of], support, labels, query[of]).argmax(axis=1) == 0).sum())
    assert together_right > alone_right


@pytest.mark.parametrize("shares", [(1, 1, 1, 1, 1), (8, 4, 2, 1, 1)])
def test_many_images_of_one_example_each_correct_the_head(shares: tuple[int, ...]) -> None:
    """Over tasks of one example per class, evenly asked and not, more answers are right together than alone."""
    alone_right = together_right = 0
    counted = 80 * np.array(shares) // sum(shares)
    for seed in range(20):
        alone, support, labels, query = request_of(5, 1, 400, seed, spread=1.3)
        of = np.concatenate([np.flatnonzero(np.arange(400) % 5 == k)[:count] for k, count in enumerate(counted)])
        together = share_queries(alone[of], support, labels, query[of])
        alone_right += int((alone[of].argmax(axis=1) == of % 5).sum())
        together_right += int((together.argmax(axis=1) == of % 5).sum())
    assert together_right > 1.05 * alone_right
