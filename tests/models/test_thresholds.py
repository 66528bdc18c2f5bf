"""The familiarity of images and the threshold of a task by a law, against the definitions written out; and the law's fit."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.arrays import Ints, Reals
from models.bundle import SHIPPED, find_bundles, read_manifest
from models.heads.head import Float32, features
from models.manifest import HeadDefaults
from models.novelty.familiarity import resemblance
from models.novelty.space import NoveltySpace
from models.novelty.thresholds import evidence, threshold
from tests.helpers.heads import options
from tests.helpers.laws import NOVELTY_LAW
from training.calibration.novelty import tasks, tune_novelty
from training.evaluation.episodes import Embedded, EpisodeSampler

DIM = 16


def examples(counts: Sequence[int], seed: int) -> tuple[Float32, Ints]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return features(rng.normal(size=(len(counts), DIM))[labels] + rng.normal(size=(len(labels), DIM)), None), labels


def familiarity(query: Reals, classes: Sequence[Reals]) -> float:
    """Of one query to classes of examples, as `models.novelty.detector` defines it."""
    means = [each.sum(axis=0) / np.linalg.norm(each.sum(axis=0)) for each in classes]
    cosines = [float(query @ mean) for mean in means]
    smooth = np.log(np.mean([np.exp(NOVELTY_LAW.kappa * cosine) for cosine in cosines])) / NOVELTY_LAW.kappa
    nearest = max(float(query @ example) for each in classes for example in each)
    return float((1 - NOVELTY_LAW.nearest) * smooth + NOVELTY_LAW.nearest * nearest - NOVELTY_LAW.others * np.mean(cosines))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.integers(0, 1000))
def test_evidence_and_threshold_are_what_leaving_out_says(counts: list[int], seed: int) -> None:
    x, labels = examples(counts, seed)
    between, left_out, fewer = [], [], []
    for i, label in enumerate(labels):
        classes = [x[(labels == k) & (np.arange(len(x)) != i)] for k in range(len(counts))]
        between.append(familiarity(x[i], [each for k, each in enumerate(classes) if k != label]))
        if len(classes[label]):
            left_out.append(familiarity(x[i], classes))
            fewer.append(1 / (counts[label] * (counts[label] - 1)))
    found = evidence(x, labels, NOVELTY_LAW)
    expected = np.mean(between) - 1.1 * np.sqrt(np.var(between) + 0.05**2)
    np.testing.assert_allclose([found.between, found.spread], [np.mean(between), np.std(between)], atol=1e-5)
    assert found.count == len(left_out)
    if left_out:
        middle = np.median(left_out)
        below = np.sqrt(2 * sum(min(0.0, each - middle) ** 2 for each in left_out) / (len(left_out) - 1))
        seen = middle + 0.04 * np.mean(fewer) - 1.5 * below * np.sqrt(1 + 1 / len(left_out))
        expected = (len(left_out) * seen + 3.0 * expected) / (len(left_out) + 3.0)
    np.testing.assert_allclose(threshold(found, NOVELTY_LAW), expected, atol=1e-4)


def test_familiarity_is_its_definition() -> None:
    x, labels = examples([3, 1, 4], 0)
    queries, _ = examples([6], 1)
    classes = [x[labels == k] for k in range(3)]
    means = features(np.stack([each.sum(axis=0) for each in classes]), None)
    found = resemblance(queries @ means.T, (queries @ x.T).max(axis=1), NOVELTY_LAW)
    np.testing.assert_allclose(found, [familiarity(query, classes) for query in queries], atol=1e-5)


def test_of_many_examples_every_class_has_its_share() -> None:
    x, labels = examples([400, 800, 40], 0)
    some = evidence(x, labels, NOVELTY_LAW)
    rows = np.random.default_rng(0).permutation(len(x))[:480]  # within what is looked at whole
    whole = evidence(x[rows], labels[rows], NOVELTY_LAW)
    assert some.count == 500
    assert abs(threshold(some, NOVELTY_LAW) - threshold(whole, NOVELTY_LAW)) < 0.02


def kind(seed: int, spread: float, shared: float, classes: int = 30, each: int = 14) -> Embedded:
    """Images of a kind of picture: how far those of a class lie apart, and how much all have in common."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    common = shared * rng.normal(size=64)
    embeddings = common + rng.normal(size=(classes, 64))[labels] + spread * rng.normal(size=(len(labels), 64))
    return Embedded(embeddings.astype(np.float32), [np.flatnonzero(labels == k) for k in range(classes)])


def test_a_law_of_some_kinds_of_picture_holds_for_another() -> None:
    datasets = [kind(0, 1.0, 0.5), kind(1, 0.6, 2.0)]
    background = np.concatenate([data.embeddings for data in datasets])
    law = tune_novelty(datasets, background, episodes=20)
    assert law is not None
    for other in (kind(2, 1.5, 1.0), kind(3, 0.8, 1.5)):
        space = NoveltySpace.of(features(background, None), law)
        found = list(tasks(other, space, law, EpisodeSampler(other.by_class, 5, 5, 5, 0), 60))
        refused = np.concatenate([(members < threshold(each, law)[:, None]).ravel() for each, members in found])
        assert 0.015 < refused.mean() < 0.085


def test_where_there_are_too_few_images_there_is_no_law() -> None:
    few = kind(0, 1.0, 0.5, classes=5, each=1)
    assert tune_novelty([], few.embeddings) is None
    assert tune_novelty([few], few.embeddings) is None


def test_a_manifest_from_before_there_were_laws_has_none() -> None:
    plain = options("prototype")
    before = HeadDefaults(logistic=plain, ridge=plain, prototype=plain).model_dump(exclude={"novelty"})
    assert HeadDefaults.model_validate(before).novelty is None
    (path,) = (path for name, path in find_bundles(SHIPPED).items() if name == "cifar-fs-resnet12@1")
    assert read_manifest(path).head.novelty is None
    head = HeadDefaults.model_validate(before | {"novelty": NOVELTY_LAW.model_dump()})
    assert HeadDefaults.model_validate_json(head.model_dump_json()).novelty == NOVELTY_LAW


@settings(deadline=None, max_examples=20)
@given(dim=st.sampled_from([6, 30]), directions=st.integers(1, 40), centring=st.floats(0.0, 1.0), seed=st.integers(0, 100))
def test_the_space_is_shrunk_whitening(dim: int, directions: int, centring: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    background = features(1.0 + rng.normal(size=(20, dim)) * np.geomspace(1.0, 0.1, dim), None)
    law = NOVELTY_LAW.model_copy(update={"directions": directions, "centring": centring})
    found = NoveltySpace.of(background, law).features(rng.normal(size=(3, dim)).astype(np.float32))
    rng = np.random.default_rng(seed)
    rng.normal(size=(20, dim))
    queries = rng.normal(size=(3, dim))
    values, vectors = np.linalg.eigh(np.cov(background.T, bias=True))
    floor = law.shrinkage * values.mean()
    kept = np.where(np.arange(dim) < dim - directions, 1.0, np.sqrt(floor / (values + floor)))
    expected = features(queries, None) - centring * background.mean(axis=0)
    expected = expected @ vectors * kept @ vectors.T
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-4)


def test_a_background_of_one_picture_changes_nothing_but_the_centre() -> None:
    background = np.repeat(examples([1], 0)[0], 4, axis=0)
    queries, _ = examples([3], 1)
    found = NoveltySpace.of(background, NOVELTY_LAW).features(queries)
    np.testing.assert_allclose(found, features(queries, np.float32(NOVELTY_LAW.centring) * background[0]), atol=1e-5)
