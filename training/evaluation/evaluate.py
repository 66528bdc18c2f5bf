"""Accuracy over few-shot episodes, with its 95 % interval and calibration error.

Embeddings come from `models.engine` on images from `models.images.preprocess`, and heads from `models.heads.fitting`. So the
code that serves is the code that is scored.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.heads.fitting import fit
from models.heads.head import Float32, features, softmax
from models.heads.temperature import Law, temperature
from models.manifest import HeadOptions
from models.processor import available_cores
from training.evaluation.confusion import Confusion
from training.evaluation.episodes import Episode, EpisodeSampler

CALIBRATION_BINS = 15

# Episodes fitted at once: enough to amortise Python, and few enough for their n × n problems to stay in a core's cache.
_MOST_IN_STACK = 100
_NUMBERS_IN_STACK = 2**16


@dataclass(frozen=True, slots=True)
class Score:
    """Mean accuracy ± 1.96·s/√episodes, and expected calibration error; all are shares of one."""

    ways: int
    shots: int
    queries: int
    episodes: int
    accuracy: float
    ci95: float
    ece: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """The answers of the heads of T episodes to their queries.

    Attributes:
        classes: (T, K) the episodes' classes, in the order of their labels.
        scores: (T, Q, K), before the temperature.
        labels: (T, Q) the truth, in [0, K).
        temperatures: (T, 1, 1) of each head.
    """

    classes: NDArray[np.int64]
    scores: Float32
    labels: NDArray[np.int64]
    temperatures: NDArray[np.float64]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The queries' probabilities, (T, Q, K)."""
        return softmax(self.scores, self.temperatures)


def score(
    embeddings: Float32,
    mean: Float32,
    sampler: EpisodeSampler,
    episodes: int,
    options: HeadOptions,
    confusion: Confusion | None = None,
    law: Law | None = None,
) -> Score:
    """Fits and tests a head on each of `episodes` episodes.

    Args:
        embeddings: (N, D) of every image that the sampler indexes.
        mean: (D,) the bundle's feature mean, used if `options.centre`.
        confusion: receives every prediction.
        law: each head's temperature law; None for the temperature of the options.
    """
    space = features(embeddings, mean if options.centre else None)
    accuracies, confidences, correct = [], [], []
    for outcomes in run_episodes(space, sampler, episodes, options, law):
        probabilities_TQK = outcomes.probabilities
        predicted_TQ = probabilities_TQK.argmax(axis=-1)
        hits = predicted_TQ == outcomes.labels
        accuracies.append(hits.mean(axis=1))
        confidences.append(probabilities_TQK.max(axis=-1).ravel())
        correct.append(hits.ravel())
        if confusion is not None:
            confusion.add(outcomes.classes, predicted_TQ, outcomes.labels)
    accuracy = np.concatenate(accuracies)
    return Score(
        sampler.ways,
        sampler.shots,
        sampler.queries,
        episodes,
        float(accuracy.mean()),
        float(1.96 * accuracy.std(ddof=1) / np.sqrt(episodes)) if episodes > 1 else float("nan"),
        calibration_error(np.concatenate(confidences), np.concatenate(correct)),
    )


def episode_accuracies(space: Float32, sampler: EpisodeSampler, episodes: int, options: HeadOptions) -> NDArray[np.float64]:
    """Returns the accuracy of the head of each episode, (episodes,); see `run_episodes`."""
    stacks = run_episodes(space, sampler, episodes, options)
    return np.concatenate([(stack.probabilities.argmax(axis=-1) == stack.labels).mean(axis=1) for stack in stacks])


def episode_scores(
    space: Float32, sampler: EpisodeSampler, episodes: int, options: HeadOptions, most_in_stack: int = _MOST_IN_STACK
) -> Iterator[tuple[Float32, NDArray[np.int64]]]:
    """Yields the queries' scores (T, Q, K) and true labels (T, Q) of all episodes, T at a time; see `run_episodes`."""
    stacks = run_episodes(space, sampler, episodes, options, most_in_stack=most_in_stack)
    return ((outcomes.scores, outcomes.labels) for outcomes in stacks)


def run_episodes(
    space: Float32,
    sampler: EpisodeSampler,
    episodes: int,
    options: HeadOptions,
    law: Law | None = None,
    most_in_stack: int = _MOST_IN_STACK,
) -> Generator[Outcomes, None, None]:
    """Fits and applies the heads of all episodes, a stack of T on each core, and yields the stacks in order.

    Args:
        space: (N, D) features of every image that the sampler indexes.
        law: each head's temperature law; None for the temperature of the options.
        most_in_stack: the largest T.
    """
    examples = sampler.ways * sampler.shots
    size = max(1, min(most_in_stack, _NUMBERS_IN_STACK // examples**2))

    def test(start: int) -> Outcomes:
        return _test_stack(space, sampler, range(start, min(start + size, episodes)), options, law)

    # A thread per stack keeps the cores busier than threads inside each small product, which mostly wait for each other.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(available_cores()) as pool:
        yield from pool.map(test, range(0, episodes, size))


def _test_stack(space: Float32, sampler: EpisodeSampler, indices: range, options: HeadOptions, law: Law | None) -> Outcomes:
    drawn: list[Episode] = [sampler.episode(i) for i in indices]
    support_TnD = space[np.stack([episode.support.ravel() for episode in drawn])]
    query_TQD = space[np.stack([episode.query.ravel() for episode in drawn])]
    support_labels, query_labels = (
        np.tile(np.repeat(np.arange(sampler.ways), count), (len(drawn), 1)) for count in (sampler.shots, sampler.queries)
    )
    linear = fit(support_TnD, support_labels, sampler.ways, options)
    scores = query_TQD @ linear.weight.astype(np.float32).transpose(0, 2, 1) + linear.bias.astype(np.float32)[:, None]
    temperatures = [
        options.temperature if law is None else temperature(law, support_nD, labels_n)
        for support_nD, labels_n in zip(support_TnD, support_labels, strict=True)
    ]
    classes = np.stack([episode.classes for episode in drawn])
    return Outcomes(classes, scores, query_labels, np.array(temperatures)[:, None, None])


def calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Returns the expected calibration error over equal-width bins (Guo et al., ICML 2017, equation 3)."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gap = np.bincount(bins, confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(confidence))
