"""Fits the law of `models.novelty.thresholds` on validation-class episodes of several datasets, never on novel classes."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from models.arrays import Reals
from models.heads.head import Float32, features
from models.manifest import NoveltyLaw
from models.novelty.familiarity import resemblance
from models.novelty.space import NoveltySpace
from models.novelty.thresholds import REFUSED, Evidence, evidence, threshold
from training.evaluation.episodes import Embedded, EpisodeSampler

EPISODES = 60  # of each kind of task and dataset
_SEED = 40_000
_WAYS, _SHOTS = (2, 5, 20), (1, 2, 5, 10)
_QUERIES = 3  # per class
_STACK = 20
_SOFTNESS = 0.01  # of the threshold, in familiarity, so that the share refused has a slope
_RARE = 0.01  # shares below this count as nearly equal
_ROUNDS = 500

# Chosen on eight kinds of picture, each left out in turn. The choice maximises the least gain in AUROC over the nearest neighbour
# and over the highest probability; see decision 0011.
_SPACE = {"centring": 0.15, "directions": 64, "shrinkage": 40.0}
_FAMILIARITY = {"kappa": 40.0, "nearest": 0.2, "others": 0.2}
_START = {"spread": 1.25, "floor": 0.03, "gain": 0.03, "deviations": 1.6, "prior": 1.0}

Tasks = tuple[Evidence, Reals]
"""A stack of T tasks: the evidence of their examples, and the familiarity (T, Q) of their queries, all of their classes."""


def tune_novelty(datasets: Sequence[Embedded], background: Float32, episodes: int | None = None) -> NoveltyLaw | None:
    """Returns the law with which every dataset's tasks refuse 5 % of their own images, as nearly as one law can.

    The coefficients minimise the sum of log²(refused / 5 %) over datasets and kinds of task, which all count equally. So half as
    many refusals as intended are as wrong as twice as many.

    Args:
        datasets: their validation classes.
        background: (M, D) embeddings of no task in particular, the bundle's.
        episodes: of each kind of task and dataset; `EPISODES` by default.

    Returns:
        None where no dataset has two classes of two images.
    """
    law = NoveltyLaw.model_validate(_SPACE | _FAMILIARITY | _START)
    space = NoveltySpace.of(features(background, None), law)
    cells = [cell for data in datasets for cell in _cells(data, space, law, episodes or EPISODES)]
    if not cells:
        return None

    def with_(logarithms: NDArray[np.float64]) -> NoveltyLaw:
        return law.model_copy(update=dict(zip(_START, np.exp(logarithms).tolist(), strict=True)))

    def loss(logarithms: NDArray[np.float64]) -> float:
        tried = with_(np.clip(logarithms, -9.0, 5.0))
        shares = np.array([_refused(cell, tried) for cell in cells])
        return float((np.log((shares + _RARE) / (REFUSED + _RARE)) ** 2).sum())

    start = np.log(list(_START.values()))
    found = minimize(loss, start, method="Nelder-Mead", options={"maxfev": _ROUNDS, "xatol": 1e-3, "fatol": 1e-4})
    return with_(np.clip(found.x, -9.0, 5.0))


def tasks(data: Embedded, space: NoveltySpace, law: NoveltyLaw, sampler: EpisodeSampler, episodes: int) -> Iterator[Tasks]:
    """Yields episodes, a stack at a time, in the space and familiarity of a law."""
    x = space.features(data.embeddings)
    labels = np.repeat(np.arange(sampler.ways), sampler.shots)
    for start in range(0, episodes, _STACK):
        drawn = [sampler.episode(index) for index in range(start, min(start + _STACK, episodes))]
        support = x[np.stack([episode.support.ravel() for episode in drawn])]
        queries = x[np.stack([episode.query.ravel() for episode in drawn])]
        yield evidence(support, labels, law), _familiarity(support, queries, sampler.ways, law)


def _cells(data: Embedded, space: NoveltySpace, law: NoveltyLaw, episodes: int) -> Iterator[Tasks]:
    """Yields a stack of tasks of every kind that the classes allow."""
    smallest = min(map(len, data.by_class), default=0)
    for ways, shots in product(_WAYS, _SHOTS):
        if ways <= len(data.by_class) and shots < smallest:
            sampler = EpisodeSampler(data.by_class, ways, shots, min(_QUERIES, smallest - shots), _SEED)
            yield _together(list(tasks(data, space, law, sampler, episodes)))


def _familiarity(support_TnD: Float32, queries_TQD: Float32, ways: int, law: NoveltyLaw) -> Reals:
    classes = support_TnD.reshape(len(support_TnD), ways, -1, support_TnD.shape[-1])
    means = features(classes.sum(axis=2), None)
    return resemblance(queries_TQD @ means.mT, (queries_TQD @ support_TnD.mT).max(axis=-1), law)


def _together(stacks: Sequence[Tasks]) -> Tasks:
    """Joins stacks of one kind of task."""
    found = [each for each, _ in stacks]
    together = {
        name: np.concatenate([getattr(each, name) for each in found]) for name in ("between", "spread", "middle", "below")
    }
    familiarity = np.concatenate([each for _, each in stacks])
    return Evidence(**together, fewer=found[0].fewer, count=found[0].count), familiarity


def _refused(cell: Tasks, law: NoveltyLaw) -> float:
    """Returns the share of queries below the threshold, smoothed."""
    found, familiarity = cell
    below = (threshold(found, law)[..., None] - familiarity) / _SOFTNESS
    return float((1.0 / (1.0 + np.exp(-np.clip(below, -50.0, 50.0)))).mean())
