"""Many heads at once answer as each does alone."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.heads import apply
from models.heads.apply import stack_heads
from models.heads.head import BackboneMismatch, BackboneRef, EmbeddingSpace, Float32, Head
from tests.helpers.devices import on_device, revealed, watched
from tests.helpers.heads import options

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
@given(st.lists(st.none() | kinds, max_size=12), st.integers(0, 9), st.integers(1, 40), st.integers(1, 1000))
def test_each_head_gives_what_it_gives_alone_to_rounding(
    wanted: list[tuple[int, float, bool, int] | None], count: int, dim: int, product: int
) -> None:
    space, embeddings = space_of(dim), embeddings_of(count, dim)
    heads = [kind and head_of(kind[0], dim, *kind[1:]) for kind in wanted]
    answered: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "_PRODUCT", product)
        for stack in stack_heads(heads):
            answered += stack.positions
            for _ in range(3):  # as they are; gathered; gathered once more
                probabilities = stack.probabilities(embeddings, space)
                for position, labels, of_head in zip(stack.positions, stack.labels, probabilities, strict=True):
                    head = heads[position]
                    assert head is not None
                    assert head.labels == labels
                    alone = head.probabilities(embeddings, space)
                    np.testing.assert_allclose(of_head, alone, rtol=0, atol=rounding(head, dim))
                stack.gather()
    assert sorted(answered) == [position for position, head in enumerate(heads) if head is not None]


@pytest.mark.parametrize(("ways", "count"), [(2, 1), (5, 9), (40, 3)])
def test_embeddings_on_a_device_are_answered_there(ways: int, count: int) -> None:
    dim = 24
    space, embeddings = space_of(dim), embeddings_of(count, dim)
    heads = [head_of(ways, dim, 0.1 + seed, centre=True, seed=seed) for seed in range(7)]
    (stack,) = stack_heads(heads)
    there = dataclasses.replace(space, mean=on_device(space.mean))
    for _ in range(2):
        with watched() as traffic:
            shares = stack.probabilities(on_device(embeddings), there)
        assert (traffic.copies, traffic.waits) == (0, 0)
        assert shares.dtype == torch.float64
        for head, of_head in zip(heads, revealed(shares), strict=True):
            alone = head.probabilities(embeddings, space)
            np.testing.assert_allclose(of_head, alone, rtol=0, atol=rounding(head, dim))
    with pytest.raises(BackboneMismatch):
        stack.probabilities(on_device(embeddings), dataclasses.replace(there, backbone=BackboneRef("other@1", "cd" * 32)))


def test_heads_of_the_size_of_real_ones_are_stacked_and_agree() -> None:
    dim = 640
    space, embeddings = space_of(dim), embeddings_of(3, dim)
    heads = [head_of(5 + seed % 2, dim, 0.33, centre=True, seed=seed) for seed in range(300)]
    stacks = stack_heads(heads)
    assert len(stacks) == 2
    assert sum(stack.nbytes for stack in stacks) == sum(head.weight.nbytes for head in heads)
    for stack in stacks:
        for position, probabilities in zip(stack.positions, stack.probabilities(embeddings, space), strict=True):
            np.testing.assert_allclose(probabilities, heads[position].probabilities(embeddings, space), rtol=0, atol=1e-5)


def test_heads_of_several_backbones_are_applied_to_the_embeddings_of_their_own_alone() -> None:
    heads = [head_of(2, 4, 1.0, True, seed) for seed in range(3)]
    other = BackboneRef("small@2", BACKBONE.sha256)
    heads[1] = dataclasses.replace(heads[1], backbone=other)
    stacks = {stack.backbone: stack for stack in stack_heads(heads)}
    assert {backbone: list(stack.positions) for backbone, stack in stacks.items()} == {BACKBONE: [0, 2], other: [1]}
    assert len(stacks[BACKBONE].probabilities(embeddings_of(1, 4), space_of(4))) == 2
    with pytest.raises(BackboneMismatch, match="small@2"):
        stacks[other].probabilities(embeddings_of(1, 4), space_of(4))
