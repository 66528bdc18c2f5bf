"""Accuracy over few-shot episodes, with its 95 % interval and calibration error.

Embeddings come from `models.engine` on images from `models.preprocess`, heads from `models.fitting`: what serves is what
is scored.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.fitting import fit
from models.heads import Float32, features, softmax
from models.manifest import HeadOptions
from training.episodes import Episode, EpisodeSampler

CALIBRATION_BINS = 15
_STACK = 100  # Episodes fitted at once: enough to amortise Python, few enough to stay in the cache's neighbourhood.


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


def score(embeddings: Float32, mean: Float32, sampler: EpisodeSampler, episodes: int, options: HeadOptions) -> Score:
    """Fits and tests a head on each of `episodes` episodes.

    Args:
        embeddings: (N, D) of every image that the sampler indexes.
        mean: (D,) the bundle's feature mean, used if `options.centre`.
    """
    space = features(embeddings, mean if options.centre else None)
    accuracies, confidences, correct = [], [], []
    for scores_TQK, right_TQ in episode_scores(space, sampler, episodes, options):
        probabilities_TQK = softmax(scores_TQK, options.temperature)
        hits = probabilities_TQK.argmax(axis=-1) == right_TQ
        accuracies.append(hits.mean(axis=1))
        confidences.append(probabilities_TQK.max(axis=-1).ravel())
        correct.append(hits.ravel())
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


def episode_scores(
    space: Float32, sampler: EpisodeSampler, episodes: int, options: HeadOptions
) -> Iterator[tuple[Float32, NDArray[np.int64]]]:
    """Fits the heads of all episodes, a stack of T at a time.

    Args:
        space: (N, D) features of every image that the sampler indexes.

    Yields:
        The queries' scores (T, Q, K), before the temperature, and their true labels (T, Q).
    """
    support_labels = np.repeat(np.arange(sampler.ways), sampler.shots)
    query_labels = np.repeat(np.arange(sampler.ways), sampler.queries)
    for start in range(0, episodes, _STACK):
        drawn: list[Episode] = [sampler.episode(i) for i in range(start, min(start + _STACK, episodes))]
        support_TnD = space[np.stack([episode.support.ravel() for episode in drawn])]
        query_TQD = space[np.stack([episode.query.ravel() for episode in drawn])]
        linear = fit(support_TnD, np.tile(support_labels, (len(drawn), 1)), sampler.ways, options)
        scores = query_TQD @ linear.weight.astype(np.float32).transpose(0, 2, 1) + linear.bias.astype(np.float32)[:, None]
        yield scores, np.tile(query_labels, (len(drawn), 1))


def calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Expected calibration error over equal-width bins (Guo et al., ICML 2017, equation 3)."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gap = np.bincount(bins, confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(confidence))
