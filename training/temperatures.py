"""The laws of `models.temperature`, fitted on validation-class episodes: never on novel classes."""

from collections.abc import Sequence
from itertools import chain, product

import numpy as np
from numpy.typing import NDArray

from models.heads import Float32, features, softmax
from models.manifest import HeadDefaults, Solver, TemperatureLaw, TemperatureLaws
from models.temperature import terms
from training.episodes import Embedded, EpisodeSampler, Indices, affordable_queries
from training.evaluate import episode_scores

EPISODES = 200
_SEED = 30_000
_WAYS = (2, 5, 10, 20)
_SHOTS = (1, 2, 5, 10, 20)
_LEAST, _MOST, _BISECTIONS = 1e-3, 1e3, 40


def tune_temperatures(datasets: Sequence[Embedded], mean: Float32, heads: HeadDefaults) -> TemperatureLaws:
    """A law per solver: the likeliest temperature of each of several ways and shots, and the least squares in their logarithms.

    Where there are several datasets, a temperature is the likeliest for equally many episodes of each.

    Args:
        datasets: their validation classes.
        mean: (D,) the bundle's feature mean.
        heads: the options whose scores are to be scaled.

    Raises:
        DataError: there are too few validation images.
    """
    return TemperatureLaws(
        logistic=_tune("logistic", datasets, mean, heads),
        ridge=_tune("ridge", datasets, mean, heads),
        prototype=_tune("prototype", datasets, mean, heads),
    )


def _tune(solver: Solver, datasets: Sequence[Embedded], mean: Float32, heads: HeadDefaults) -> TemperatureLaw:
    options = heads.options(solver)
    spaces = [features(data.embeddings, mean if options.centre else None) for data in datasets]
    allowed = [_shapes(data.by_class) for data in datasets]
    shapes = sorted(set(chain(*allowed)))
    found = []
    for ways, shots in shapes:
        of = [i for i, some in enumerate(allowed) if (ways, shots) in some]
        stacks: list[tuple[Float32, NDArray[np.int64]]] = []
        for i in of:
            by_class = datasets[i].by_class
            sampler = EpisodeSampler(by_class, ways, shots, affordable_queries(by_class, shots), _SEED)
            stacks += episode_scores(spaces[i], sampler, max(1, EPISODES // len(of)), options)
        scores = np.concatenate([scores.reshape(-1, ways) for scores, _ in stacks])
        found.append(likeliest_temperature(scores, np.concatenate([labels.ravel() for _, labels in stacks])))
    coefficients = np.linalg.lstsq(np.array([terms(*shape) for shape in shapes]), np.log(found))[0].tolist()
    return TemperatureLaw(**dict(zip(TemperatureLaw.model_fields, coefficients, strict=True)))


def likeliest_temperature(scores: Float32, labels: NDArray[np.int64]) -> float:
    """The T of the greatest likelihood of the labels under softmax(scores / T).

    The loss is convex in 1 / T, and its slope there is the difference between the scores expected and the true classes'.

    Args:
        scores: (N, K).
        labels: (N,) in [0, K).
    """
    true_N = np.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    low, high = np.log(_LEAST), np.log(_MOST)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        expected_N = (softmax(scores, float(np.exp(middle))) * scores).sum(axis=1)
        low, high = (middle, high) if float(np.mean(expected_N - true_N)) > 0 else (low, middle)
    return float(np.exp(0.5 * (low + high)))


def _shapes(by_class: Sequence[Indices]) -> list[tuple[int, int]]:
    """The ways and shots that the classes allow, all classes at once among them, half of the smallest class left for queries."""
    classes, smallest = len(by_class), min(map(len, by_class))
    ways = sorted({*(ways for ways in _WAYS if ways <= classes), min(classes, max(_WAYS))})
    return list(product(ways, (shots for shots in _SHOTS if 2 * shots <= smallest)))
