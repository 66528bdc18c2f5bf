"""Many heads at once answer as each does alone."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import apply
from models.apply import apply_heads
from models.heads import BackboneMismatch, BackboneRef, EmbeddingSpace, Float32, Head
from tests.heads import options

BACKBONE = BackboneRef("small@1", "ab" * 32)


def space_of(dim: int) -> EmbeddingSpace:
    return EmbeddingSpace(BACKBONE, np.linspace(-1, 1, dim, dtype=np.float32))


def head_of(ways: int, dim: int, temperature: float, centre: bool, seed: int) -> Head:
    weight, bias = np.split(np.random.default_rng(seed).normal(size=(ways, dim + 1)), [dim], axis=1)
    chosen = options(temperature=temperature, centre=centre)
    return Head(tuple(map(str, range(ways))), weight.astype(np.float32), bias[:, 0].astype(np.float32), chosen, BACKBONE)


def embeddings_of(count: int, dim: int, seed: int = 0) -> Float32:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def rounding(head: Head, dim: int) -> float:
    """How far two float32 computations of the probabilities may be apart.

    Features have norm one, so each score sums D products and a bias, off by at most (D + 1) · 2⁻²³ · (‖w‖ + |b|) either way,
    and a change of all scores by up to δ changes a softmax at T by at most δ / (2T).
    """
    largest = float((np.linalg.norm(head.weight, axis=1) + np.abs(head.bias)).max())
    return 2 * (dim + 1) * 2.0**-23 * largest / (2 * head.options.temperature) + 1e-12


kinds = st.tuples(st.integers(1, 6), st.floats(0.05, 20), st.booleans(), st.integers(0, 2**32))


@settings(deadline=None)
@given(st.lists(kinds, max_size=12), st.integers(0, 9), st.integers(1, 40), st.integers(1, 1000))
def test_each_head_gives_what_it_gives_alone_to_rounding(
    wanted: list[tuple[int, float, bool, int]], count: int, dim: int, product: int
) -> None:
    space, embeddings = space_of(dim), embeddings_of(count, dim)
    heads = [head_of(ways, dim, temperature, centre, seed) for ways, temperature, centre, seed in wanted]
    answered = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "_PRODUCT", product)
        for positions, probabilities in apply_heads(heads, embeddings, space):
            answered += positions
            for position, of_head in zip(positions, probabilities, strict=True):
                alone = heads[position].probabilities(embeddings, space)
                np.testing.assert_allclose(of_head, alone, rtol=0, atol=rounding(heads[position], dim))
    assert sorted(answered) == list(range(len(heads)))


def test_heads_of_the_size_of_real_ones_are_gathered_and_agree() -> None:
    dim = 640
    space, embeddings = space_of(dim), embeddings_of(3, dim)
    heads = [head_of(5 + seed % 2, dim, 0.33, centre=True, seed=seed) for seed in range(300)]
    stacks = list(apply_heads(heads, embeddings, space))
    assert len(stacks) < 50
    for positions, probabilities in stacks:
        for position, of_head in zip(positions, probabilities, strict=True):
            np.testing.assert_allclose(of_head, heads[position].probabilities(embeddings, space), rtol=0, atol=1e-5)


def test_one_head_of_another_backbone_is_refused_before_anything_is_applied() -> None:
    heads = [head_of(2, 4, 1.0, True, seed) for seed in range(3)]
    heads[2] = dataclasses.replace(heads[2], backbone=BackboneRef("small@2", BACKBONE.sha256))
    with pytest.raises(BackboneMismatch, match="small@2"):
        next(apply_heads(heads, embeddings_of(1, 4), space_of(4)))
