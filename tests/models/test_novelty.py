"""Strangers told from members: the detector, its threshold, and the examples that a query resembles."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.arrays import Ints
from models.bundle import open_bundle
from models.engine import embed_all, open_engine
from models.heads.head import Float32
from models.images.preprocess import Pixels, load_image
from models.manifest import NoveltyLaw
from models.novelty.detector import Background, fit_detector
from tests.helpers.laws import SMOOTH_NOVELTY_LAW
from tests.helpers.samples import Labelled

DIM, OFFSET = 64, 2.0


def images(centres: Float32, counts: list[int], seed: int) -> tuple[Float32, Ints]:
    """Embeddings around the classes' centres, all with what photographs share, and their labels."""
    labels = np.repeat(np.arange(len(counts)), counts)
    noise = np.random.default_rng(seed).normal(size=(len(labels), DIM))
    return (OFFSET + centres[labels] + noise).astype(np.float32), labels


def world(ways: int, seed: int, law: NoveltyLaw | None = None) -> tuple[Float32, Background]:
    """The centres of a task's classes, and a background of other classes."""
    rng = np.random.default_rng(seed)
    known, _ = images(rng.normal(size=(50, DIM)).astype(np.float32), [10] * 50, seed)
    return rng.normal(size=(ways, DIM)).astype(np.float32), Background.of(known, known.mean(axis=0), law)


counts = st.lists(st.integers(1, 6), min_size=2, max_size=6)
laws = pytest.mark.parametrize("law", [None, SMOOTH_NOVELTY_LAW], ids=["without a law", "by a law"])


@laws
@settings(deadline=None, max_examples=30)
@given(shots=counts, seed=st.integers(0, 100))
def test_members_are_more_familiar_than_strangers_and_than_noise(law: NoveltyLaw | None, shots: list[int], seed: int) -> None:
    centres, background = world(len(shots), seed, law)
    detector = fit_detector(*images(centres, shots, seed), background)
    members, _ = images(centres, [20] * len(shots), seed + 1)
    strangers, _ = images(np.random.default_rng(seed + 2).normal(size=(50, DIM)).astype(np.float32), [2] * 50, seed + 3)
    noise = np.random.default_rng(seed).normal(size=(50, DIM)).astype(np.float32)  # of what photographs share, nothing
    own, theirs, nobodys = (detector.familiarity(z, background) for z in (members, strangers, noise))
    assert (own[:, None] > theirs).mean() > 0.7
    assert (own[:, None] > nobodys).mean() > 0.95
    assert (nobodys < detector.threshold).mean() > 0.9


@laws
def test_about_one_member_in_twenty_is_refused(law: NoveltyLaw | None) -> None:
    found = []
    for seed in range(20):
        centres, background = world(5, seed, law)
        detector = fit_detector(*images(centres, [10] * 5, seed), background)
        found.append(detector.familiarity(images(centres, [100] * 5, seed + 1)[0], background) < detector.threshold)
    assert 0.02 < np.mean(found) < 0.1


@laws
@settings(deadline=None, max_examples=30)
@given(shots=counts, seed=st.integers(0, 100))
def test_the_order_of_the_examples_does_not_matter(law: NoveltyLaw | None, shots: list[int], seed: int) -> None:
    centres, background = world(len(shots), seed, law)
    embeddings, labels = images(centres, shots, seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    detector = fit_detector(embeddings, labels, background)
    shuffled = fit_detector(embeddings[order], labels[order], background)
    np.testing.assert_allclose(shuffled.class_means, detector.class_means, atol=1e-5)
    np.testing.assert_allclose(shuffled.threshold, detector.threshold, atol=1e-4)


@laws
def test_the_threshold_holds_each_example_against_the_others_of_its_class(law: NoveltyLaw | None) -> None:
    """An example that is alone in its class vouches for nothing; two of the same picture resemble each other wholly."""
    centres, background = world(5, 0, law)
    embeddings, labels = images(centres, [1] * 5, 0)
    lone = fit_detector(embeddings, labels, background)
    twice = fit_detector(np.repeat(embeddings, 2, axis=0), np.repeat(labels, 2), background)
    np.testing.assert_allclose(twice.class_means, lone.class_means, atol=1e-5)
    assert twice.threshold > lone.threshold + 0.1


def test_what_lacks_what_all_photographs_share_is_less_familiar() -> None:
    centres, background = world(3, 0)
    embeddings, labels = images(centres, [5] * 3, 0)
    detector = fit_detector(embeddings, labels, background)
    # Both resemble the first class wholly; the further from the centre, the less is left of the rest.
    near, far = (background.space.centre + length * detector.class_means[:1] for length in (8.0, 80.0))
    assert detector.familiarity(far, background) < detector.familiarity(near, background) - 0.05


@laws
def test_weights_grow_with_familiarity_and_are_a_half_at_the_threshold(law: NoveltyLaw | None) -> None:
    centres, background = world(3, 0, law)
    detector = fit_detector(*images(centres, [2] * 3, 0), background)
    query, _ = images(centres, [10] * 3, 1)
    familiarity, weights = detector.familiarity(query, background), detector.weights(query, background)
    assert ((weights > 0) & (weights < 1)).all()
    np.testing.assert_array_equal(weights > 0.5, familiarity > detector.threshold)
    np.testing.assert_array_equal(np.argsort(weights), np.argsort(familiarity))


@laws
def test_a_stack_of_tasks_is_its_tasks_and_half_precision_serves(law: NoveltyLaw | None) -> None:
    centres, background = world(4, 0, law)
    tasks = [images(centres, [3, 1, 2, 4], seed) for seed in range(3)]
    labels, query = tasks[0][1], images(centres, [5] * 4, 9)[0]
    stacked = fit_detector(np.stack([z for z, _ in tasks]), labels, background)
    together = stacked.familiarity(np.stack([query] * 3), background)
    for index, (z, _) in enumerate(tasks):
        alone = fit_detector(z, labels, background)
        np.testing.assert_allclose(stacked.threshold[index], alone.threshold, atol=1e-5)
        np.testing.assert_allclose(together[index], alone.familiarity(query, background), atol=1e-5)
        small = replace(alone, class_means=alone.class_means.astype(np.float16))
        np.testing.assert_allclose(small.familiarity(query, background), together[index], atol=1e-3)


@laws
def test_real_images_of_other_classes_and_noise_are_refused(
    law: NoveltyLaw | None, shipped_bundle: Path, support: Labelled, queries: Labelled
) -> None:
    bundle = open_bundle(shipped_bundle)
    engine, spec = open_engine(bundle, "onnx"), bundle.manifest.input
    background = Background.of(bundle.background, bundle.feature_mean, law)
    classes = sorted({label for label, _ in support})
    known = [(label, image) for label, image in support if label in classes[:3]]
    labels = np.array([classes.index(label) for label, _ in known])
    detector = fit_detector(embed_all(engine, np.stack([load_image(image, spec) for _, image in known])), labels, background)

    def refused(pixels: list[Pixels]) -> float:
        return float((detector.familiarity(embed_all(engine, np.stack(pixels)), background) < detector.threshold).mean())

    noise = list(np.random.default_rng(0).integers(0, 256, (20, spec.height, spec.width, 3), dtype=np.uint8))
    assert refused(noise) == 1.0
    members = refused([load_image(image, spec) for label, image in queries if label in classes[:3]])
    strangers = refused([load_image(image, spec) for label, image in queries if label not in classes[:3]])
    assert members < 0.25 < strangers
