"""Temperatures that follow the support set: what is known of it, the laws, their fit, and the bundle that carries them."""

import json
import math
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax

from models.bundle import MANIFEST, BundleError, open_bundle, replace_manifest
from models.heads.geometry import geometry
from models.heads.head import Float32, features, softmax
from models.heads.temperature import coefficients, options_for, support_terms, temperature
from models.manifest import HeadDefaults, SeveralLaw, SingleLaw, Solver, SupportLaw, TemperatureLaw, TemperatureLaws
from tests.helpers.heads import options
from tests.helpers.laws import SUPPORT_LAW
from training.calibration import temperatures
from training.calibration.temperatures import Answered, fit_law
from training.data.dataset import DataError
from training.evaluation.episodes import Embedded
from training.evaluation.harder_episodes import AlikeSampler, BroadSampler, nearest_classes

counts = st.lists(st.integers(1, 6), min_size=2, max_size=8)
slopes = st.floats(-2, 2)
count_laws = st.builds(TemperatureLaw, **dict.fromkeys(TemperatureLaw.model_fields, slopes))
single_laws = st.builds(SingleLaw, **dict.fromkeys(SingleLaw.model_fields, slopes))
several_laws = st.builds(SeveralLaw, **dict.fromkeys(SeveralLaw.model_fields, slopes))
support_laws = st.builds(SupportLaw, single=single_laws, several=several_laws)
COUNTS = TemperatureLaw(intercept=-1.0, log_ways=-0.5, inverse_ways=0.4, log_shots=-0.25, inverse_shots=0.3)
DEFAULTS = HeadDefaults(logistic=options("logistic"), ridge=options("ridge"), prototype=options("prototype", temperature=0.5))
DIM = 16


def support_of(examples: list[int], seed: int = 0, scatter: float = 1.0) -> tuple[Float32, NDArray[np.int64]]:
    """Features (n, D) of so many examples of each class, and their labels, shuffled."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(examples)), examples))
    centres = rng.normal(size=(len(examples), DIM))
    return features((centres[labels] + scatter * rng.normal(size=(len(labels), DIM))).astype(np.float32), None), labels


def by_hand(x: Float32, labels: NDArray[np.int64]) -> tuple[float, float, float, float, float]:
    """between, nearest, log T*, recognised, within: each example left out by making the means again."""
    ways = labels.max() + 1
    pairs = np.array([[(x[labels == i] @ x[labels == j].T).mean() for j in range(ways)] for i in range(ways)])
    apart = pairs[~np.eye(ways, dtype=bool)].reshape(ways, ways - 1)
    judged = [k for k in range(ways) if (labels == k).sum() > 1]
    rows = [i for i in range(len(x)) if labels[i] in judged]
    scores: list[list[float]] = []
    right: dict[int, list[float]] = {k: [] for k in judged}
    within: dict[int, list[float]] = {k: [] for k in judged}
    for i in rows:
        left = np.arange(len(x)) != i
        means = [x[left & (labels == k)].mean(axis=0) for k in range(ways)]
        scores.append([float(x[i] @ mean / np.linalg.norm(mean)) for mean in means])
        right[labels[i]].append(int(np.argmax(scores[-1])) == labels[i])
        within[labels[i]].append(float((x[left & (labels == labels[i])] @ x[i]).mean()))
    weights = np.array([len(rows) / len(judged) / (labels == labels[i]).sum() for i in rows])

    def loss(log: float) -> float:
        losses = -log_softmax(np.array(scores) / np.exp(log), axis=1)[np.arange(len(rows)), labels[rows]]
        return float(weights @ losses + 2.0 * (log - np.log(0.06)) ** 2)

    logs = np.linspace(-7, 2, 901)
    likeliest = float(logs[np.argmin([loss(log) for log in logs])])
    shares = [float(np.mean([np.mean(of[k]) for k in judged])) for of in (right, within)]
    return float(apart.mean()), float(apart.max(axis=1).mean()), likeliest, shares[0], shares[1]


@settings(deadline=None, max_examples=15)
@given(counts.filter(lambda some: max(some) > 1), st.integers(0, 1000), st.sampled_from([0.3, 1.0, 3.0]))
def test_examples_left_out_in_closed_form_are_those_left_out_by_hand(examples: list[int], seed: int, scatter: float) -> None:
    x, labels = support_of(examples, seed, scatter)
    found = geometry(x, labels)
    assert found.left_out is not None
    between, nearest, likeliest, recognised, within = by_hand(x, labels)
    assert (found.between, found.nearest) == pytest.approx((between, nearest), abs=1e-5)
    assert (found.left_out.recognised, found.left_out.within) == pytest.approx((recognised, within), abs=1e-5)
    assert found.left_out.log_likeliest == pytest.approx(likeliest, abs=0.02)


@settings(deadline=None, max_examples=25)
@given(counts, st.one_of(count_laws, support_laws), st.randoms(use_true_random=False))
def test_the_order_of_classes_and_examples_does_not_matter(
    examples: list[int], law: TemperatureLaw | SupportLaw, random: Random
) -> None:
    x, labels = support_of(examples)
    order = random.sample(range(len(x)), len(x))
    renamed = np.array(random.sample(range(len(examples)), len(examples)))
    assert temperature(law, x[order], renamed[labels[order]]) == pytest.approx(temperature(law, x, labels), rel=1e-2)


@settings(deadline=None)
@given(counts)
def test_shots_lie_between_the_fewest_and_the_mean(examples: list[int]) -> None:
    shots = geometry(*support_of(examples)).shots
    assert min(examples) - 1e-9 <= shots <= np.mean(examples) + 1e-9


def test_the_laws_are_their_formulas() -> None:
    x, labels = support_of([4] * 16)
    assert temperature(COUNTS, x, labels) == pytest.approx(math.exp(-1.0 + 0.4 / 16 + 0.3 / 4) * 16**-0.5 * 4**-0.25)
    _, nearest, likeliest, recognised, within = by_hand(x, labels)
    log = -1.0 - 0.5 * math.log(16) + 0.4 / 16 - 0.25 * math.log(4) + 0.3 / 4
    log += 0.3 * likeliest + 0.8 * recognised - 0.9 * (within - nearest)
    assert math.log(temperature(SUPPORT_LAW, x, labels)) == pytest.approx(log, abs=0.01)
    alone, labels = support_of([1] * 16)
    cosines = (alone @ alone.T)[~np.eye(16, dtype=bool)].reshape(16, 15)
    nearest = float(cosines.max(axis=1).mean())
    log = -1.0 - 0.5 * math.log(16) + 0.4 / 16 + 0.5 * float(cosines.mean()) + (0.7 - 0.1 * math.log(16)) * nearest
    assert math.log(temperature(SUPPORT_LAW, alone, labels)) == pytest.approx(log, abs=1e-4)


def test_a_second_example_of_one_class_of_many_moves_the_temperature_little() -> None:
    x, labels = support_of([1] * 19 + [2])
    lone = np.sort(np.unique(labels, return_index=True)[1])
    before, after = (math.log(temperature(SUPPORT_LAW, x[rows], labels[rows])) for rows in (lone, np.arange(len(x))))
    assert 0 < abs(after - before) < 0.25


@settings(deadline=None)
@given(st.one_of(count_laws, support_laws), counts)
def test_any_law_gives_a_temperature_that_options_take(law: TemperatureLaw | SupportLaw, examples: list[int]) -> None:
    found = temperature(law, *support_of(examples))
    assert options(temperature=found).temperature == found


def test_features_of_zeros_have_a_temperature() -> None:
    labels = np.array([0, 0, 1, 1])
    assert 0 < temperature(SUPPORT_LAW, np.zeros((4, DIM), np.float32), labels) < 10


def test_defaults_take_the_temperature_of_their_solvers_law() -> None:
    x, labels = support_of([3, 1])
    mean = np.zeros(DIM, np.float32)
    assert options_for(DEFAULTS, "prototype", x, labels, mean) == DEFAULTS.prototype
    with_laws = DEFAULTS.model_copy(
        update={"temperatures": TemperatureLaws(logistic=COUNTS, ridge=COUNTS, prototype=SUPPORT_LAW)}
    )
    tried: tuple[tuple[Solver, TemperatureLaw | SupportLaw], ...] = (("logistic", COUNTS), ("prototype", SUPPORT_LAW))
    for solver, law in tried:
        found = options_for(with_laws, solver, x, labels, mean)
        assert found.temperature == pytest.approx(temperature(law, x, labels), rel=1e-3)
        assert found == with_laws.options(solver).model_copy(update={"temperature": found.temperature})


def test_the_law_that_is_fitted_is_that_of_the_labels() -> None:
    """Labels drawn with the probabilities of a law's temperatures are likeliest under that law, or one that says the same."""
    rng = np.random.default_rng(0)
    terms = np.stack([support_terms(geometry(*support_of([3] * ways, seed))) for seed in range(100) for ways in (5, 5)])
    true = np.exp(terms @ coefficients(SUPPORT_LAW))
    scores = (true[:, None, None] * 2.0 * rng.normal(size=(len(true), 200, 5))).astype(np.float32)
    cumulated = softmax(scores, true[:, None, None]).cumsum(axis=-1)
    labels = np.minimum((rng.random((*scores.shape[:2], 1)) > cumulated).sum(axis=-1), 4)
    found = fit_law([[Answered(terms, scores, labels)]])
    assert np.abs(terms @ coefficients(found) - np.log(true)).mean() < 0.1


@pytest.mark.parametrize(("classes", "images"), [(5, 20), (12, 50)])
def test_laws_are_fitted_on_whatever_classes_there_are(classes: int, images: int) -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(classes, 32)), images, axis=0)
    embeddings = (centres + 1.5 * rng.normal(size=centres.shape)).astype(np.float32)
    data = Embedded(embeddings, [np.arange(images * k, images * (k + 1)) for k in range(classes)])
    found = temperatures.tune_temperatures([data], np.zeros(32, np.float32), DEFAULTS, episodes=25).prototype
    space, labels = features(embeddings, None), np.repeat(np.arange(5), images)[: 5 * images]
    ten, one = (np.concatenate([np.arange(images * k, images * k + shots) for k in range(5)]) for shots in (10, 1))
    # Class means of more examples err less: their scores say more, and are to be believed more.
    assert temperature(found, space[ten], labels[ten]) < temperature(found, space[one], labels[one])


def test_a_class_of_a_broad_episode_is_several_taken_together() -> None:
    by_class = [np.arange(30 * k, 30 * (k + 1)) for k in range(12)]
    sampler = BroadSampler(by_class, 4, 5, 10, 0, merged=3)
    episode = sampler.episode(7)
    images = np.concatenate([episode.support, episode.query], axis=1)
    assert images.shape == (4, 15)
    assert len(np.unique(images)) == images.size
    kinds = [set((row // 30).tolist()) for row in images]
    assert all(1 < len(some) <= 3 for some in kinds)
    assert sum(map(len, kinds)) == len(set.union(*kinds))
    assert np.array_equal(sampler.episode(7).query, episode.query)
    with pytest.raises(DataError, match="need 15, got 12"):
        BroadSampler(by_class, 5, 5, 10, 0, merged=3)


def test_the_classes_of_an_episode_of_alike_ones_are_near_one_of_them() -> None:
    by_class = [np.arange(30 * k, 30 * (k + 1)) for k in range(12)]
    angles = np.repeat(np.arange(12) * 0.2, 30)  # on an arc, so that neighbours in number are those most alike
    nearest = nearest_classes(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), by_class)
    sampler = AlikeSampler(by_class, 4, 5, 10, 0, nearest)
    spans = [np.ptp(sampler.episode(index).classes) for index in range(20)]
    assert max(spans) <= 5
    assert min(spans) >= 3
    assert np.array_equal(sampler.episode(3).support // 30, np.repeat(sampler.episode(3).classes[:, None], 5, axis=1))


def test_a_manifest_without_laws_opens_and_one_with_them_is_read_back(shipped_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(shipped_bundle, tmp_path / "bundle"))
    document = json.loads((bundle / MANIFEST).read_text())
    document["head"].pop("temperatures", None)
    (bundle / MANIFEST).write_text(json.dumps(document))
    before = open_bundle(bundle).manifest
    assert before.head.temperatures is None
    found = TemperatureLaws(logistic=COUNTS, ridge=SUPPORT_LAW, prototype=SUPPORT_LAW)
    replace_manifest(bundle, before.model_copy(update={"head": before.head.model_copy(update={"temperatures": found})}))
    after = open_bundle(bundle).manifest
    assert after.head.temperatures == found
    assert after.files == before.files
    assert {path.name for path in bundle.iterdir()} == {MANIFEST, *after.files}


def test_a_manifest_that_cannot_be_written_stays_as_it_was(shipped_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot write"):
        replace_manifest(tmp_path / "nowhere", open_bundle(shipped_bundle).manifest)
