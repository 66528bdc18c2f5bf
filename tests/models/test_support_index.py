"""The support set as an index: the same verdicts and neighbours as float32 gives, in a quarter of its memory."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.heads.head import Float32
from models.manifest import NoveltyLaw
from models.novelty.detector import Background, fit_detector, novelty_of
from models.novelty.support_index import SupportIndex
from tests.helpers.laws import SMOOTH_NOVELTY_LAW

DIM = 64
_CLOSE = 5e-3  # of a cosine of 64 numbers in eight bits


def world(
    counts: list[int], seed: int, law: NoveltyLaw | None = None
) -> tuple[Float32, "np.ndarray[tuple[int], np.dtype[np.int64]]", Background]:
    """A support set with as many examples of each class, and a background."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centres = rng.normal(size=(len(counts), DIM))
    known = (2.0 + rng.normal(size=(200, DIM)) + rng.normal(size=(200, DIM))).astype(np.float32)
    embeddings = (2.0 + centres[labels] + rng.normal(size=(len(labels), DIM))).astype(np.float32)
    return embeddings, labels, Background.of(known, known.mean(axis=0), law)


counts = st.lists(st.integers(1, 6), min_size=2, max_size=6)


@settings(deadline=None, max_examples=40)
@given(counts, st.integers(1, 5), st.integers(0, 100))
def test_neighbours_are_those_of_float32(shots: list[int], count: int, seed: int) -> None:
    embeddings, labels, background = world(shots, seed)
    queries = (2.0 + np.random.default_rng(seed + 1).normal(size=(9, DIM))).astype(np.float32)
    found = SupportIndex.of(embeddings, labels, background).search(background.queries(queries), background, count)
    cosines = background.space.features(queries) @ background.space.features(embeddings).T
    assert found.examples.shape == found.similarities.shape == (9, min(count, len(labels)))
    assert all(len(set(row)) == len(row) for row in found.examples.tolist())
    np.testing.assert_allclose(found.similarities, np.take_along_axis(cosines, found.examples, axis=1), atol=_CLOSE)
    np.testing.assert_allclose(found.similarities, -np.sort(-cosines, axis=1)[:, :count], atol=_CLOSE)
    assert (np.diff(found.similarities, axis=1) <= 0).all()


@settings(deadline=None, max_examples=40)
@given(counts, st.integers(0, 100), st.sampled_from([None, SMOOTH_NOVELTY_LAW]))
def test_novelty_is_that_of_the_detector(shots: list[int], seed: int, law: NoveltyLaw | None) -> None:
    embeddings, labels, background = world(shots, seed, law)
    detector = fit_detector(embeddings, labels, background)
    rng = np.random.default_rng(seed + 1)
    queries = np.concatenate([embeddings, 4.0 * rng.normal(size=(20, DIM)).astype(np.float32)])
    novelty = SupportIndex.of(embeddings, labels, background).search(background.queries(queries), background, 1).novelty
    np.testing.assert_allclose(novelty, novelty_of(detector.familiarity(queries, background), detector.threshold), atol=0.05)


def test_an_example_is_its_own_nearest_and_of_equals_the_first() -> None:
    embeddings, labels, background = world([4, 4], 0)
    twice, both = np.concatenate([embeddings, embeddings]), np.concatenate([labels, labels])
    found = SupportIndex.of(twice, both, background).search(background.queries(embeddings), background, 2)
    np.testing.assert_array_equal(found.examples, [[position, position + 8] for position in range(8)])
    np.testing.assert_allclose(found.similarities, 1.0, atol=_CLOSE)


def test_a_large_support_set_is_searched_in_blocks_and_no_query_is_fine() -> None:
    embeddings, labels, background = world([1500, 1000], 0)
    index = SupportIndex.of(embeddings, labels, background)
    assert index.nbytes == 2502 * (DIM + 4)
    found = index.search(background.queries(embeddings[[3, 1400, 2400]]), background, 1)
    np.testing.assert_array_equal(found.examples[:, 0], [3, 1400, 2400])
    nothing = index.search(background.queries(embeddings[:0]), background, 3)
    assert (nothing.novelty.shape, nothing.examples.shape) == ((0,), (0, 3))
