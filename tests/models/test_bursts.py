"""Shots of one thing among examples of which they are known."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.arrays import Ints
from models.examples.bursts import bursts, least_similarity
from models.heads.head import Float32, features

DIM = 256
LEAST = 0.85


def shots_of(things: list[list[int]], seed: int = 0, apart: float = 1.0, near: float = 0.25) -> tuple[Float32, Ints, Ints]:
    """Features of classes whose things have so many shots each, in any order; labels, and the thing of each."""
    rng = np.random.default_rng(seed)
    x, labels, of = [], [], []
    for label, counts in enumerate(things):
        centre = rng.normal(size=DIM)
        for count in counts:
            thing = centre + apart * rng.normal(size=DIM)
            x.append(thing + near * rng.normal(size=(count, DIM)))
            labels += [label] * count
            of += [len(x)] * count
    order = rng.permutation(len(of))
    return features(np.concatenate(x)[order].astype(np.float32), None), np.array(labels)[order], np.array(of)[order]


def assert_same_parts(found: Ints, expected: Ints) -> None:
    np.testing.assert_array_equal(found[:, None] == found, expected[:, None] == expected)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(3, 6), min_size=1, max_size=4), min_size=2, max_size=5), st.integers(0, 1000))
def test_bursts_are_found(things: list[list[int]], seed: int) -> None:
    x, y, of = shots_of(things, seed)
    assert_same_parts(bursts(x, y, LEAST), of)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 5), st.integers(1, 20), st.integers(0, 1000))
def test_sets_without_bursts_are_left_as_they_are(ways: int, shots: int, seed: int) -> None:
    x, y, of = shots_of([[1] * shots] * ways, seed)
    assert_same_parts(bursts(x, y, LEAST), of)


def test_one_class_of_shots_among_others_is_found() -> None:
    x, y, of = shots_of([[5], [1] * 5, [1] * 5, [1] * 5], near=0.15)
    assert_same_parts(bursts(x, y, LEAST), of)


def test_a_copy_is_found_among_many() -> None:
    x, y, of = shots_of([[1] * 10, [1] * 9 + [2]], near=0.01)
    assert_same_parts(bursts(x, y, LEAST), of)


def test_things_that_are_less_alike_than_any_two_images_are_no_shots_of_one_thing() -> None:
    x, y, of = shots_of([[3, 3], [2, 2]])
    assert_same_parts(bursts(x, y, 0.999), np.arange(len(y)))
    assert_same_parts(bursts(x, y, LEAST), of)


def test_four_of_five_images_are_less_like_their_nearest_than_shots_of_one_thing() -> None:
    x, _, _ = shots_of([[1] * 50, [1] * 50], apart=0.5)
    alike = x @ x.T - 2 * np.eye(len(x))
    assert np.mean(alike.max(axis=1) < least_similarity(x)) == 0.8


def test_what_two_classes_have_is_grouped_with_nothing() -> None:
    x, y, _ = shots_of([[1] * 4, [1] * 4])
    x, y = np.concatenate([x, x[:1], x[:1]]), np.append(y, [1 - y[0], y[0]])
    assert_same_parts(bursts(x, y, LEAST), np.arange(len(y)))


def test_one_image_everywhere_is_grouped_with_nothing() -> None:
    x, _, _ = shots_of([[1], [1]])
    assert_same_parts(bursts(x[[0, 0, 0, 0]], np.array([0, 0, 1, 1]), LEAST), np.arange(4))


def test_blocks_change_nothing() -> None:
    x, y, of = shots_of([[4, 3, 5], [6, 1], [3]])
    assert_same_parts(bursts(x, y, LEAST, rows=4), of)
