"""Images of none of a task's classes: what they take from other images' familiarity, and the threshold that goes with it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.arrays import Ints, Reals
from models.heads.head import Float32, features
from models.manifest import NoveltyLaw
from models.novelty.detector import Background, NoveltyDetector, fit_detector, novelty_of
from models.novelty.negatives import BESIDE_OTHERS, SOFTNESS, WEIGHT, left_out_losses, loss
from models.novelty.support_index import SupportIndex
from models.novelty.thresholds import evidence, threshold
from tests.helpers.laws import NOVELTY_LAW, SMOOTH_NOVELTY_LAW

DIM = 64
laws = pytest.mark.parametrize("law", [None, SMOOTH_NOVELTY_LAW], ids=["without a law", "by a law"])
counts = st.lists(st.integers(1, 5), min_size=2, max_size=5)


def images(centres: Float32, each: int, rng: np.random.Generator) -> Float32:
    """Images of every class, all with what photographs share."""
    noise = rng.normal(size=(len(centres) * each, DIM))
    return (2.0 + np.repeat(centres, each, axis=0) + noise).astype(np.float32)


class World:
    """A task, a class of strangers that is like its first class, and a background of other classes."""

    def __init__(self, shots: list[int], seed: int, law: NoveltyLaw | None) -> None:
        self.rng = np.random.default_rng(seed)
        self.centres = self.rng.normal(size=(len(shots), DIM)).astype(np.float32)
        self.strange = (0.75 * self.centres[:1] + 0.66 * self.rng.normal(size=(1, DIM))).astype(np.float32)
        self.labels: Ints = np.repeat(np.arange(len(shots)), shots)
        self.support = np.concatenate([images(self.centres[k : k + 1], count, self.rng) for k, count in enumerate(shots)])
        known = images(self.rng.normal(size=(50, DIM)).astype(np.float32), 10, self.rng)
        self.background = Background.of(known, known.mean(axis=0), law)

    def strangers(self, count: int) -> Float32:
        return images(self.strange, count, self.rng)

    def fit(self, negatives: Float32 | None) -> NoveltyDetector:
        return fit_detector(self.support, self.labels, self.background, negatives)

    def novelty(self, queries: Float32, negatives: Float32 | None) -> Reals:
        detector = self.fit(negatives)
        return novelty_of(detector.familiarity(queries, self.background), detector.threshold)


def lost_by_hand(image: Reals, examples: Reals, negatives: Reals) -> float:
    ratio = max(float(image @ z) for z in negatives) - max(float(image @ x) for x in examples)
    return float(WEIGHT * SOFTNESS * np.log1p(np.exp(ratio / SOFTNESS)))


def without_highest(values: list[float]) -> list[float]:
    second = sorted(values)[-2]
    return [min(value, second) for value in values]


@settings(deadline=None, max_examples=40)
@given(counts, st.integers(1, 4), st.integers(0, 1000))
def test_losses_and_the_threshold_are_what_leaving_out_says(shots: list[int], count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels: Ints = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    x, z = features(rng.normal(size=(len(labels), 8)), None), features(rng.normal(size=(count, 8)), None)
    beside_others = without_highest([lost_by_hand(x[i], x[labels != label], z) for i, label in enumerate(labels)])
    beside_all = without_highest([lost_by_hand(x[i], np.delete(x, i, axis=0), z) for i in range(len(x))])
    of_others, of_all = left_out_losses(x, labels, np.arange(len(x)), z)
    np.testing.assert_allclose(of_others, BESIDE_OTHERS * np.array(beside_others), atol=1e-6)
    np.testing.assert_allclose(of_all, beside_all, atol=1e-6)

    without, with_them = evidence(x, labels, NOVELTY_LAW), evidence(x, labels, NOVELTY_LAW, z)
    np.testing.assert_allclose(with_them.between, without.between - BESIDE_OTHERS * np.mean(beside_others), atol=1e-5)
    assert (with_them.count, with_them.fewer) == (without.count, without.fewer)
    np.testing.assert_allclose(with_them.spread, without.spread, atol=1e-6)
    assert threshold(with_them, NOVELTY_LAW) <= threshold(without, NOVELTY_LAW) + 1.5 * WEIGHT * (1.0 + SOFTNESS)


def test_without_a_law_the_threshold_falls_by_what_examples_lose() -> None:
    task = World([1, 1, 1, 1], 0, None)
    z = task.background.space.features(task.strangers(3))
    x = task.background.space.features(task.support)
    others = [lost_by_hand(x[i], np.delete(x, i, axis=0), z) for i in range(4)]
    fell = task.fit(None).threshold - task.fit(task.strangers(0)).threshold
    assert fell == 0.0
    task = World([1, 1, 1, 1], 0, None)
    fell = task.fit(None).threshold - task.fit(task.strangers(3)).threshold
    np.testing.assert_allclose(fell, BESIDE_OTHERS * np.mean(without_highest(others)), rtol=1e-4)


def test_familiarity_is_less_by_the_loss() -> None:
    task = World([3, 2], 1, SMOOTH_NOVELTY_LAW)
    negatives, queries = task.strangers(4), np.concatenate([task.strangers(3), task.support])
    before, after = (task.fit(each).familiarity(queries, task.background) for each in (None, negatives))
    q, x, z = (task.background.space.features(each) for each in (queries, task.support, negatives))
    np.testing.assert_allclose(before - after, [lost_by_hand(each, x, z) for each in q], atol=1e-5)


@laws
@settings(deadline=None, max_examples=25)
@given(shots=counts, negatives=st.integers(1, 6), seed=st.integers(0, 100))
def test_no_order_matters_and_nothing_is_drawn(law: NoveltyLaw | None, shots: list[int], negatives: int, seed: int) -> None:
    task = World(shots, seed, law)
    z, queries = task.strangers(negatives), np.concatenate([task.strangers(3), images(task.centres, 2, task.rng)])
    novelty = task.novelty(queries, z)
    np.testing.assert_array_equal(task.novelty(queries, z), novelty)
    np.testing.assert_allclose(task.novelty(queries, z[::-1]), novelty, atol=1e-4)
    order = task.rng.permutation(len(task.labels))
    detector = fit_detector(task.support[order], task.labels[order], task.background, z)
    shuffled = novelty_of(detector.familiarity(queries, task.background), detector.threshold)
    np.testing.assert_allclose(shuffled, novelty, atol=1e-4)
    assert ((novelty >= 0.0) & (novelty <= 1.0)).all()


@laws
def test_strangers_of_their_kind_are_told_better_and_members_are_refused_as_before(law: NoveltyLaw | None) -> None:
    refused, told = [], []
    for seed in range(20):
        task = World([5] * 5, seed, law)
        negatives, strangers, members = task.strangers(5), task.strangers(50), images(task.centres, 20, task.rng)
        kinds = None, negatives
        refused.append([(task.novelty(members, each) > 0.5).mean() for each in kinds])
        told.append([(task.novelty(strangers, each) > 0.5).mean() for each in kinds])
    before, after = np.mean(refused, axis=0)
    assert 0.02 < before < 0.1
    assert after == pytest.approx(before, abs=0.03)
    before, after = np.mean(told, axis=0)
    assert after > before + 0.1


@laws
def test_the_more_an_image_is_like_a_negative_the_more_novel_it_is(law: NoveltyLaw | None) -> None:
    task = World([3, 3], 3, law)
    (stranger,) = task.strangers(1)
    member = images(task.centres[:1], 1, task.rng)[0]
    between = np.stack([(1.0 - share) * member + share * stranger for share in np.linspace(0.0, 1.0, 9)]).astype(np.float32)
    detectors = [task.fit(each) for each in (None, stranger[None])]
    lost = detectors[0].familiarity(between, task.background) - detectors[1].familiarity(between, task.background)
    assert (np.diff(lost) > -1e-6).all()
    assert 0.0 <= lost[0] < 0.1 * lost[-1]


@laws
@pytest.mark.parametrize("shots", [1, 4])
def test_a_negative_that_equals_an_example_leaves_its_class_known(law: NoveltyLaw | None, shots: int) -> None:
    """Also where that was the only example of the class."""
    known: list[tuple[float, float]] = []
    for seed in range(10):
        task = World([shots] * 4, seed, law)
        of_class = images(task.centres[:1], 30, task.rng)
        shares = [(task.novelty(of_class, each) <= 0.5).mean() for each in (None, task.support[:1])]
        known.append((float(shares[0]), float(shares[1])))
    before, after = np.mean(known, axis=0)
    assert after > before - 0.1


def test_one_negative_of_another_kind_changes_little() -> None:
    task = World([5] * 3, 0, SMOOTH_NOVELTY_LAW)
    far = (task.rng.normal(size=(1, DIM)) * 5.0).astype(np.float32)
    queries = np.concatenate([images(task.centres, 10, task.rng), task.strangers(10)])
    np.testing.assert_allclose(task.novelty(queries, far), task.novelty(queries, None), atol=0.05)


@laws
@settings(deadline=None, max_examples=25)
@given(shots=counts, negatives=st.integers(1, 6), seed=st.integers(0, 100))
def test_the_index_judges_as_the_detector_and_finds_no_negative(
    law: NoveltyLaw | None, shots: list[int], negatives: int, seed: int
) -> None:
    task = World(shots, seed, law)
    z = task.strangers(negatives)
    queries = np.concatenate([z, images(task.centres, 2, task.rng)])
    index = SupportIndex.of(task.support, task.labels, task.background, z)
    found = index.search(task.background.queries(queries), task.background, 9)
    np.testing.assert_allclose(found.novelty, task.novelty(queries, z), atol=0.06)
    assert found.examples.shape == (len(queries), min(9, len(task.labels)))
    assert found.examples.max() < len(task.labels)


def test_a_loss_is_half_softened_where_an_image_equals_both() -> None:
    found = loss(np.array([1.0, -1.0, 1.0]), np.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(found, [WEIGHT * SOFTNESS * np.log(2.0), 0.0, WEIGHT], atol=1e-6)


@laws
def test_more_examples_than_are_looked_at_have_a_threshold_too(law: NoveltyLaw | None) -> None:
    task = World([300, 300], 0, law)
    few, many = (task.fit(each).threshold for each in (None, task.strangers(20)))
    assert np.isfinite(many)
    assert many <= few + 0.01
