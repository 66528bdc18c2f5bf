"""Episodes and the scores over them."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.manifest import Solver
from tests.helpers.heads import options
from training.data.dataset import DataError
from training.evaluation.episodes import EpisodeSampler
from training.evaluation.evaluate import calibration_error, score

BY_CLASS = [np.arange(20 * k, 20 * k + 20)[::-1] for k in range(12)]


def sampler(ways: int = 5, shots: int = 3, queries: int = 7, seed: int = 0) -> EpisodeSampler:
    return EpisodeSampler(BY_CLASS, ways, shots, queries, seed)


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(1, 10), st.integers(1, 10), st.integers(0, 2**40), st.integers(0, 10**6))
def test_an_episode_holds_distinct_classes_and_disjoint_images(
    ways: int, shots: int, queries: int, seed: int, index: int
) -> None:
    episode = sampler(ways, shots, queries, seed).episode(index)
    assert episode.support.shape == (ways, shots)
    assert episode.query.shape == (ways, queries)
    assert len(set(episode.classes.tolist())) == ways
    images = np.concatenate([episode.support, episode.query], axis=1)
    assert len(np.unique(images)) == images.size
    np.testing.assert_array_equal(images // 20, np.broadcast_to(episode.classes[:, None], images.shape))


def test_an_episode_can_be_drawn_again_by_itself() -> None:
    in_order = [sampler().episode(i) for i in range(5)]
    for i in reversed(range(5)):
        again = sampler().episode(i)
        np.testing.assert_array_equal(again.support, in_order[i].support)
        np.testing.assert_array_equal(again.query, in_order[i].query)
    assert len({episode.support.tobytes() for episode in in_order}) == 5
    assert sampler(seed=1).episode(0).support.tobytes() != in_order[0].support.tobytes()


def test_episodes_are_drawn_uniformly() -> None:
    episodes = [sampler().episode(i) for i in range(2000)]
    for drawn, choices, count in (
        (np.stack([episode.classes[0] for episode in episodes]), 12, 2000),
        (np.stack([episode.support for episode in episodes]), 240, 2000 * 15),
        (np.stack([episode.query for episode in episodes]), 240, 2000 * 35),
    ):
        expected = count / choices
        chi_squared = ((np.bincount(drawn.ravel(), minlength=choices) - expected) ** 2 / expected).sum()
        assert chi_squared < choices + 5 * np.sqrt(2 * choices)  # five standard deviations above its mean


@pytest.mark.parametrize(("ways", "shots", "queries"), [(13, 1, 1), (5, 10, 11)])
def test_what_the_classes_cannot_give_is_refused(ways: int, shots: int, queries: int) -> None:
    with pytest.raises(DataError, match="episodes"):
        sampler(ways, shots, queries)


MEAN = np.zeros(16, np.float32)


@pytest.mark.parametrize("solver", get_args(Solver))
def test_separable_classes_score_one(solver: Solver) -> None:
    embeddings = np.repeat(np.eye(12, 16, dtype=np.float32), 20, axis=0) + np.float32(0.01)
    scored = score(embeddings, MEAN, sampler(), 20, options(solver))
    assert (scored.ways, scored.shots, scored.queries, scored.episodes) == (5, 3, 7, 20)
    assert (scored.accuracy, scored.ci95) == (1.0, 0.0)


def test_noise_scores_chance_within_its_interval() -> None:
    embeddings = np.random.default_rng(0).normal(size=(240, 16)).astype(np.float32)
    scored = score(embeddings, MEAN, sampler(), 300, options())
    assert 0 < scored.ci95 < 0.02
    assert abs(scored.accuracy - 1 / 5) < 2 * scored.ci95


def test_accuracy_and_its_interval_equal_a_loop_over_episodes() -> None:
    rng = np.random.default_rng(0)
    embeddings = (np.repeat(rng.normal(size=(12, 16)), 20, axis=0) + 2 * rng.normal(size=(240, 16))).astype(np.float32)
    mean = embeddings.mean(axis=0)
    accuracies = []
    for i in range(130):  # more than one stack
        episode = sampler().episode(i)
        unit = (embeddings - mean) / np.linalg.norm(embeddings - mean, axis=1, keepdims=True)
        prototypes = unit[episode.support].mean(axis=1)
        cosines = unit[episode.query] @ (prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)).T
        accuracies.append((cosines.argmax(axis=2) == np.arange(5)[:, None]).mean())
    scored = score(embeddings, mean, sampler(), 130, options("prototype"))
    average = sum(accuracies) / 130
    deviation = (sum((accuracy - average) ** 2 for accuracy in accuracies) / 129) ** 0.5
    assert scored.accuracy == pytest.approx(average, abs=1e-12)
    assert scored.ci95 == pytest.approx(1.96 * deviation / 130**0.5, abs=1e-12)


@settings(deadline=None)
@example([(1.0, False), (0.95, True)])
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_equals_a_loop_over_bins(pairs: list[tuple[float, bool]]) -> None:
    total = 0.0
    for number in range(15):
        inside = [(c, hit) for c, hit in pairs if int(c * 15) == number or (number == 14 and c == 1.0)]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(hit for _, hit in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(accuracy - confidence)
    confidences, hits = (np.array(column) for column in zip(*pairs, strict=True))
    assert calibration_error(confidences, hits) == pytest.approx(total, abs=1e-12)
