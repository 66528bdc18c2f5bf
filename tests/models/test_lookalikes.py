"""Groups of images that look alike, and images that are examples already."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.examples.lookalikes import grouped, seen
from models.heads.head import features


def images(count: int, dim: int, spread: float, seed: int) -> np.ndarray:
    """Embeddings of images of four kinds."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(4, dim))[rng.integers(0, 4, count)] + spread * rng.normal(size=(count, dim))).astype(np.float32)


some = st.builds(
    images, count=st.integers(0, 40), dim=st.integers(2, 20), spread=st.floats(0.05, 1.0), seed=st.integers(0, 10_000)
)


def by_definition(x: np.ndarray, order: np.ndarray, count: int) -> list[list[int]]:
    z, left = features(x.astype(np.float64), None), order.tolist()
    groups: list[list[int]] = []
    while left and len(groups) < count:
        groups.append([j for j in left if j == left[0] or z[left[0]] @ z[j] >= 0.85])
        left = [j for j in left if j not in groups[-1]]
    return groups


@settings(max_examples=60, deadline=None)
@given(x=some, count=st.integers(0, 50), seed=st.integers(0, 1000))
def test_groups_are_their_definition_disjoint_and_led_by_the_first(x: np.ndarray, count: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(x))
    found = [group.tolist() for group in grouped(x, order, count)]
    assert found == by_definition(x, order, count)
    members = [j for group in found for j in group]
    assert len(members) == len(set(members))
    rank = np.argsort(order)
    assert all(rank[group].tolist() == sorted(rank[group]) for group in found)


def test_more_groups_than_rows_that_are_compared_at_once() -> None:
    x = np.eye(600, dtype=np.float32)
    assert [group.tolist() for group in grouped(np.concatenate([x, x]), np.arange(1200), 590)] == [
        [j, j + 600] for j in range(590)
    ]


def test_shots_of_one_thing_are_one_group() -> None:
    x = images(20, 64, spread=0.0, seed=1)[:1] + 0.1 * np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    (group,) = grouped(x, np.arange(20)[::-1], 5)
    assert group.tolist() == list(range(19, -1, -1))


@settings(max_examples=60, deadline=None)
@given(x=some, support=some, shift=st.floats(0.0, 0.5), seed=st.integers(0, 1000))
def test_images_are_seen_that_are_nearly_an_example(x: np.ndarray, support: np.ndarray, shift: float, seed: int) -> None:
    support = np.resize(support, (len(support), x.shape[1]))
    near = x[::2] + shift * np.random.default_rng(seed).normal(size=x[::2].shape).astype(np.float32)
    known = np.concatenate([support, near])
    z, w = features(x.astype(np.float64), None), features(known.astype(np.float64), None)
    assert seen(x, known, 0.95).tolist() == [any(a @ b >= 0.95 for b in w) for a in z]
    assert not seen(x, known[:0], 0.95).any()


def test_a_scale_changes_nothing_and_many_images_are_compared_with_all_examples() -> None:
    x = np.eye(700, dtype=np.float32)
    assert np.flatnonzero(seen(3.0 * x, x[[0, 300, 699]], 0.95)).tolist() == [0, 300, 699]
