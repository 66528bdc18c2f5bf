"""Heads: what they answer, and that no byte of them is taken on trust."""

import dataclasses
import json
import struct
from typing import Any, Literal, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from models.heads.fitting import fit_head
from models.heads.head import BackboneMismatch, BackboneRef, EmbeddingSpace, Head, HeadFormatError, features, softmax
from models.manifest import Solver
from tests.helpers.heads import options

WAYS, DIM = 3, 5
BACKBONE = BackboneRef("small@1", "ab" * 32)


def head(labels: tuple[str, ...] = ("a", "b", "c"), temperature: float = 1.0, centre: bool = True) -> Head:
    rng = np.random.default_rng(len(labels))
    weight, bias = rng.normal(size=(len(labels), DIM)), rng.normal(size=len(labels))
    return Head(
        labels, weight.astype(np.float32), bias.astype(np.float32), options(temperature=temperature, centre=centre), BACKBONE
    )


SPACE = EmbeddingSpace(BACKBONE, np.linspace(-1, 1, DIM, dtype=np.float32))
EMBEDDINGS = np.random.default_rng(0).normal(size=(7, DIM)).astype(np.float32)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("temperature", [0.05, 1.0, 20.0])
def test_probabilities_are_a_softmax_of_scores_of_normalised_features(centre: bool, temperature: float) -> None:
    one = head(temperature=temperature, centre=centre)
    answers = one.probabilities(EMBEDDINGS, SPACE)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-12)
    for embedding, answer in zip(EMBEDDINGS.astype(float), answers, strict=True):
        centred = embedding - SPACE.mean if centre else embedding
        scores = one.weight @ (centred / np.sqrt((centred**2).sum())) + one.bias
        shares = np.exp(scores / temperature)
        np.testing.assert_allclose(answer, shares / shares.sum(), atol=1e-5)


def test_scores_of_any_size_have_probabilities() -> None:
    np.testing.assert_array_equal(softmax(np.array([[1e6, 0.0], [-1e6, 0.0]]), 1e-3), [[1.0, 0.0], [0.0, 1.0]])


def test_the_mean_itself_has_the_zero_feature() -> None:
    np.testing.assert_array_equal(features(SPACE.mean[None], SPACE.mean), np.zeros((1, DIM)))


@pytest.mark.parametrize("other", [BackboneRef("small@2", BACKBONE.sha256), BackboneRef("small@1", "cd" * 32)])
def test_embeddings_of_another_backbone_are_refused(other: BackboneRef) -> None:
    with pytest.raises(BackboneMismatch, match="small@"):
        head().probabilities(EMBEDDINGS, dataclasses.replace(SPACE, backbone=other))


@settings(deadline=None)
@given(
    st.lists(st.text(), min_size=2, max_size=6, unique=True).map(tuple),
    st.floats(1e-3, 1e3),
    st.booleans(),
    st.text(),
    st.sampled_from("CF"),
)
def test_bytes_are_the_whole_head(
    labels: tuple[str, ...], temperature: float, centre: bool, bundle: str, order: Literal["C", "F"]
) -> None:
    fitted = head(labels, temperature, centre)
    weight = np.asarray(fitted.weight, order=order)  # solvers leave either
    before = dataclasses.replace(fitted, weight=weight, backbone=BackboneRef(bundle, "ef" * 32))
    after = Head.from_bytes(before.to_bytes())
    np.testing.assert_array_equal(after.weight, before.weight)
    np.testing.assert_array_equal(after.bias, before.bias)
    assert after.weight.dtype == after.bias.dtype == np.float32
    assert (after.labels, after.options, after.backbone) == (before.labels, before.options, before.backbone)


@pytest.mark.parametrize("solver", get_args(Solver))
@pytest.mark.parametrize("examples", [6, 30])
def test_bytes_are_the_head_that_was_fitted(solver: Solver, examples: int) -> None:
    labels = [str(i % WAYS) for i in range(examples)]
    embeddings = np.random.default_rng(0).normal(size=(examples, 2 * DIM)).astype(np.float32)
    space = EmbeddingSpace(BACKBONE, np.zeros(2 * DIM, np.float32))
    fitted = fit_head(embeddings, labels, space, options(solver))
    np.testing.assert_array_equal(Head.from_bytes(fitted.to_bytes()).weight, fitted.weight)


WHOLE = head().to_bytes()
HEADER_SIZE = 8 + struct.unpack("<Q", WHOLE[:8])[0]


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 8), st.binary(max_size=8))
def test_damaged_bytes_are_a_head_of_the_same_shape_or_refused(at: int, removed: int, inserted: bytes) -> None:
    try:
        read = Head.from_bytes(WHOLE[:at] + inserted + WHOLE[at + removed :])
    except HeadFormatError:
        return
    assert read.weight.shape == (len(read.labels), DIM)
    assert read.bias.shape == (len(read.labels),)


@settings(deadline=None)
@given(st.binary())
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(HeadFormatError):
        Head.from_bytes(data)


def written(about: dict[str, Any], **tensors: Any) -> bytes:
    """A head's bytes with some of its parts replaced."""
    whole = {"labels": ["a", "b", "c"], "options": options().model_dump(), "bundle": "small@1", "sha256": "ab" * 32}
    parts = {"weight": np.zeros((WAYS, DIM), np.float32), "bias": np.zeros(WAYS, np.float32), **tensors}
    return save({name: part for name, part in parts.items() if part is not None}, {"head": json.dumps(whole | about)})


WRONG: dict[str, bytes] = {
    "too few labels": written({"labels": ["a", "b"]}),
    "one text of labels": written({"labels": "abc"}),
    "labels that are numbers": written({"labels": [1, 2, 3]}),
    "a bundle that is none": written({"bundle": None}),
    "options of tomorrow": written({"options": {**options().model_dump(), "momentum": 0.9}}),
    "a flat weight": written({}, weight=np.zeros(WAYS, np.float32)),
    "a square bias": written({}, bias=np.zeros((WAYS, 1), np.float32)),
    "double precision": written({}, weight=np.zeros((WAYS, DIM))),
    "no bias": written({}, bias=None),
    "no metadata": save({"weight": head().weight, "bias": head().bias}),
    "the header alone": WHOLE[:HEADER_SIZE],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_only_looks_like_a_head_is_refused(name: str) -> None:
    Head.from_bytes(written({}))
    with pytest.raises(HeadFormatError):
        Head.from_bytes(WRONG[name])
