"""Class names beside a head, held to NumPy and to scikit-learn; and whether names that say nothing do harm."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import t as student

from models.arrays import Floats, Ints
from models.heads.class_names import WEIGHTS, NamePrior, _quantile, head_of_names, left_out_with_names, name_weight, with_names
from models.heads.fitting import fit_head
from models.heads.head import BackboneRef, EmbeddingSpace, Head, features
from models.heads.leave_one_out import leave_one_out
from tests.helpers.heads import left_out_by_scikit_learn, options

_DIM = 24
_SPACE = EmbeddingSpace(BackboneRef("name@1", "0" * 64), np.zeros(_DIM, np.float32))


def task(ways: int, shots: int, seed: int, noise: float = 1.0) -> tuple[Floats, Ints, Floats]:
    """Features of examples, their labels and the centres of the classes."""
    rng = np.random.default_rng(seed)
    centres, labels = rng.normal(size=(ways, _DIM)), np.repeat(np.arange(ways), shots)
    return features(centres[labels] + noise * rng.normal(size=(len(labels), _DIM)), None), labels, centres


def prior_of(vectors: Floats, scale: float = 10.0) -> NamePrior:
    return NamePrior(features(vectors, None).astype(np.float32), scale)


@settings(max_examples=25, deadline=None)
@given(
    ways=st.integers(2, 5),
    weight=st.sampled_from(WEIGHTS[1:]),
    temperature=st.floats(0.05, 5.0),
    scale=st.floats(0.1, 100.0),
    seed=st.integers(0, 1000),
)
def test_a_head_with_names_is_the_product_of_both_answers(
    ways: int, weight: float, temperature: float, scale: float, seed: int
) -> None:
    x, y, centres = task(ways, 3, seed)
    head = fit_head(x.astype(np.float32), [str(k) for k in y], _SPACE, options(temperature=temperature))
    prior = prior_of(centres, scale)
    found = with_names(head, prior.weighed(weight)).probabilities(x.astype(np.float32), _SPACE)
    cosines = x @ prior.vectors.T
    expected = softmax(np.log(head.probabilities(x.astype(np.float32), _SPACE)) + weight * scale * cosines, axis=1)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_weight_of_zero_is_the_head_itself() -> None:
    x, y, _ = task(3, 2, 0)
    head = fit_head(x.astype(np.float32), [str(k) for k in y], _SPACE, options())
    left_out = leave_one_out(x, y, 3, options())
    assert with_names(head, None) is head
    assert left_out_with_names(left_out, x, None) is left_out


def test_without_images_the_answers_are_the_softmax_of_scaled_cosines() -> None:
    x, _, centres = task(4, 3, 1)
    prior = prior_of(centres, 50.0)
    head = head_of_names("abcd", prior, options(temperature=1 / 50, centre=False), _SPACE.backbone)
    found = head.probabilities(7.0 * x.astype(np.float32), _SPACE)  # of any length
    np.testing.assert_allclose(found, softmax(50.0 * x @ prior.vectors.T, axis=1), atol=1e-4)


def test_left_out_answers_are_those_of_scikit_learn_times_those_of_the_names() -> None:
    x, y, centres = task(3, 4, 2)
    prior = prior_of(centres).weighed(0.5)
    expected = softmax(np.log(left_out_by_scikit_learn(x, y, 3.0)) + 5.0 * x @ prior.vectors.T, axis=1)
    found = left_out_with_names(leave_one_out(x, y, 3, options(C=3.0)), x, prior)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)


@pytest.mark.parametrize(("ways", "shots"), [(5, 1), (5, 2)])
def test_names_that_know_the_classes_get_weight_and_recognise_more(ways: int, shots: int) -> None:
    weights, gained = _tried(ways, shots, knowing=True)
    assert np.mean(np.array(weights) > 0) >= 0.8
    assert np.mean(gained) > 0.1


@pytest.mark.parametrize(("ways", "shots"), [(2, 1), (4, 1), (3, 2)])
def test_names_that_say_nothing_hardly_ever_get_weight_and_do_no_harm(ways: int, shots: int) -> None:
    weights, gained = _tried(ways, shots, knowing=False)
    assert np.mean(np.array(weights) > 0) <= 0.15
    assert np.mean(gained) > -0.02


def test_names_that_somebody_relies_on_need_no_test() -> None:
    x, y, centres = task(2, 1, 0)
    left_out = leave_one_out(x, y, 2, options())
    assert name_weight(left_out, x, y, prior_of(centres)) == 0.0, "of two examples both may be right by chance"
    assert name_weight(left_out, x, y, prior_of(centres), trusted=True) > 0.0
    assert name_weight(left_out, x, y, prior_of(-centres), trusted=True) == 0.0, "they are judged all the same"


def test_the_weight_is_the_likeliest_of_the_list() -> None:
    x, y, centres = task(4, 5, 3, noise=1.2)
    prior, judged = prior_of(centres, 8.0), leave_one_out(x, y, 4, options())
    likelihoods = [
        log_softmax(np.log(judged.probabilities) + weight * 8.0 * x @ prior.vectors.T, axis=1)[np.arange(len(y)), y].mean()
        for weight in WEIGHTS
    ]
    assert name_weight(judged, x, y, prior) == WEIGHTS[int(np.argmax(likelihoods))] > 0


def test_shots_of_one_thing_count_as_one() -> None:
    x, y, centres = task(2, 1, 4)
    x, y = np.repeat(x, 20, axis=0), np.repeat(y, 20)
    prior = prior_of(centres)
    together = leave_one_out(x, y, 2, options(), y)
    assert name_weight(together, x, y, prior) == 0.0, "two groups tell too little"
    assert name_weight(replace(together, groups=np.arange(40)), x, y, prior) > 0.0


@pytest.mark.parametrize("freedom", [2, 3, 4, 5, 8, 20, 500])
def test_the_quantile_is_students(freedom: int) -> None:
    assert _quantile(freedom) == pytest.approx(student.ppf(0.95, freedom), rel=0.01)


def _tried(ways: int, shots: int, *, knowing: bool) -> tuple[list[float], list[float]]:
    """The weights that names get in some tasks, and by how much the share of queries recognised grows.

    Args:
        knowing: whether the names have the directions of the classes, or random ones.
    """
    weights, gained = [], []
    asked = options(temperature=0.3)
    for seed in range(20):
        x, y, centres = task(ways, shots, seed, noise=1.5)
        rng = np.random.default_rng(1000 + seed)
        labels = np.repeat(np.arange(ways), 20)
        queries = features(centres[labels] + 1.5 * rng.normal(size=(len(labels), _DIM)), None)
        prior = prior_of(centres if knowing else rng.normal(size=(ways, _DIM)), 30.0)
        weights.append(name_weight(leave_one_out(x, y, ways, asked), x, y, prior))
        head = fit_head(x.astype(np.float32), [str(k) for k in y], _SPACE, asked)
        beside = with_names(head, prior.weighed(weights[-1]) if weights[-1] else None)
        gained.append(_accuracy(beside, queries, labels) - _accuracy(head, queries, labels))
    return weights, gained


def _accuracy(head: Head, queries: Floats, labels: Ints) -> float:
    found = head.probabilities(queries.astype(np.float32), _SPACE).argmax(axis=1)
    return float(np.mean(np.array(head.labels)[found].astype(int) == labels))
