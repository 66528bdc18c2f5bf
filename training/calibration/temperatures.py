"""Fits the laws of `models.heads.temperature` on validation-class episodes, never on novel classes.

A law must also hold for kinds of picture that it was not fitted on, harder ones among them. So some episodes are harder than the
set's classes. Some have classes that are alike. Others have broader classes, each made of several of the set's, as "glass" is
bottles and jars.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from models.arrays import Floats, Ints
from models.heads.fitting import expected_by_share, fit
from models.heads.geometry import geometry
from models.heads.head import Float32, features
from models.heads.solvers import METHODS
from models.heads.temperature import support_terms
from models.manifest import HeadDefaults, HeadOptions, SeveralLaw, SingleLaw, Solver, SupportLaw, TemperatureLaws
from training.evaluation.episodes import WAYS, Embedded, Episode, EpisodeSampler, Indices
from training.evaluation.evaluate import run_episodes
from training.evaluation.harder_episodes import AlikeSampler, BroadSampler, nearest_classes

EPISODES = 200
"""For each number of ways and shots and each kind: a fifth of them up to 5 ways, and a K-th of them for K ways."""

_SEED = 30_000
_WAYS = (2, 5, 10, 20)
_SHOTS = (1, 2, 5, 10, 20)
_MERGED_ALONE, _MERGED = 2, 4  # classes that make a broad one, with one example of each and with several; see decision 0008
_QUERIES = 6
_UNEQUAL = 10  # a class's most shots where they are drawn for each
_MOST_EXAMPLES = 100  # of a task: larger ones would take longer than all others
_RIDGE = 1e-3
_WIDEST = 7.0  # of log T either way, so that a far too long step of the search cannot overflow


@dataclass(frozen=True, eq=False)
class Answered:
    """The answers of T episodes of equal ways and queries.

    Attributes:
        terms: (T, terms) multiplied by a law's coefficients.
        scores: (T, Q, K) of the queries, before the temperature.
        labels: (T, Q) in [0, K).
    """

    terms: Floats
    scores: Float32
    labels: Ints


def tune_temperatures(
    datasets: Sequence[Embedded], mean: Float32, heads: HeadDefaults, episodes: int | None = None
) -> TemperatureLaws:
    """Returns a law per solver, with the coefficients of the greatest likelihood of held-out queries. All datasets count
    equally.

    Args:
        datasets: their validation classes.
        mean: (D,) the bundle's feature mean.
        heads: the options whose scores are to be scaled.
        episodes: for each number of ways and shots and each kind; `EPISODES` by default.

    Raises:
        DataError: there are too few validation images.
    """
    laws = {solver: tune_law(datasets, mean, heads.options(solver), episodes) for solver in METHODS}
    return TemperatureLaws.model_validate(laws)


def tune_law(datasets: Sequence[Embedded], mean: Float32, options: HeadOptions, episodes: int | None = None) -> SupportLaw:
    """Returns the law of one solver; see `tune_temperatures`."""
    return fit_law([list(answers(data, mean, options, episodes)) for data in datasets])


def answers(data: Embedded, mean: Float32, options: HeadOptions, episodes: int | None = None) -> Iterator[Answered]:
    """Yields episodes of every kind that the classes allow, for a law to be fitted on."""
    space = features(data.embeddings, mean if options.centre else None)
    smallest = min(map(len, data.by_class))
    nearest = nearest_classes(space, data.by_class)
    for ways in _ways(len(data.by_class)):
        drawn = max(1, (episodes or EPISODES) // max(ways, WAYS))
        for shots in (n for n in _SHOTS if 2 * n <= smallest and n * ways <= _MOST_EXAMPLES):
            for sampler in _samplers(data.by_class, nearest, ways, shots, _SEED):
                yield _equal(space, sampler, drawn, options)
        shots = min(_UNEQUAL, smallest // 2, _MOST_EXAMPLES // ways)
        if shots > 1:
            for sampler in _samplers(data.by_class, nearest, ways, shots, _SEED + 1):
                yield _unequal(space, sampler, max(1, drawn // 2), options)


def fit_law(datasets: Sequence[Sequence[Answered]]) -> SupportLaw:
    """Returns the coefficients of the greatest likelihood, with a ridge penalty for those that the episodes leave undetermined.

    Each dataset counts as much as another, and each of its kinds of episode.
    """
    rows = np.concatenate([answered.terms for data in datasets for answered in data])
    scale = np.sqrt(np.mean(rows**2, axis=0))
    scale[scale == 0.0] = 1.0
    parts = [(answered, 1.0 / (len(data) * len(datasets))) for data in datasets for answered in data]

    def loss(scaled: Floats) -> tuple[float, Floats]:
        value, slope = 0.5 * _RIDGE * float(scaled @ scaled), _RIDGE * scaled
        for answered, weight in parts:
            more, slope_T = _cross_entropy(answered, answered.terms @ (scaled / scale))
            value += weight * more
            slope = slope + weight * (slope_T @ (answered.terms / scale))
        return value, slope

    found = minimize(loss, np.zeros(len(scale)), jac=True, method="L-BFGS-B").x / scale
    singles = len(SingleLaw.model_fields)
    return SupportLaw(
        single=SingleLaw(**dict(zip(SingleLaw.model_fields, found[:singles].tolist(), strict=True))),
        several=SeveralLaw(**dict(zip(SeveralLaw.model_fields, found[singles:].tolist(), strict=True))),
    )


def _cross_entropy(answered: Answered, log_T: Floats) -> tuple[float, Floats]:
    """Returns the mean −log softmax(scores / T) of the labels over all queries, and its slope (T,) in each episode's log T."""
    inverse_T1 = np.exp(-np.clip(log_T, -_WIDEST, _WIDEST))[:, None]
    scores_TQK = answered.scores.astype(np.float64)
    true_TQ = np.take_along_axis(scores_TQK, answered.labels[..., None], axis=-1)[..., 0]
    highest_TQ = scores_TQK.max(axis=-1)
    shares_TQK = np.exp((scores_TQK - highest_TQ[..., None]) * inverse_T1[..., None])
    sums_TQ = shares_TQK.sum(axis=-1)
    expected_TQ = (shares_TQK * scores_TQK).sum(axis=-1) / sums_TQ
    losses_TQ = np.log(sums_TQ) + (highest_TQ - true_TQ) * inverse_T1
    return float(losses_TQ.mean()), ((true_TQ - expected_TQ) * inverse_T1).mean(axis=1) / len(log_T)


def _ways(classes: int) -> list[int]:
    """Returns the numbers of ways, all classes at once among them."""
    return sorted({*(ways for ways in _WAYS if ways <= classes), min(classes, max(_WAYS))})


def _samplers(by_class: Sequence[Indices], nearest: Indices, ways: int, shots: int, seed: int) -> Iterator[EpisodeSampler]:
    """Yields samplers of any classes, of classes that are alike, and of broad ones where there are enough classes for them."""
    classes = len(by_class)
    shape = ways, shots, min(_QUERIES, min(map(len, by_class)) - shots), seed
    yield EpisodeSampler(by_class, *shape)
    if ways < classes:
        yield AlikeSampler(by_class, *shape, nearest)
    merged = min(_MERGED if shots > 1 else _MERGED_ALONE, classes // ways)
    if merged > 1:
        yield BroadSampler(by_class, *shape, merged)


def _equal(space: Float32, sampler: EpisodeSampler, episodes: int, options: HeadOptions) -> Answered:
    outcomes = list(run_episodes(space, sampler, episodes, options))
    labels = np.repeat(np.arange(sampler.ways), sampler.shots)
    terms = [_terms(space, sampler.episode(index).support.ravel(), labels) for index in range(episodes)]
    scores, truth = (np.concatenate([getattr(each, name) for each in outcomes]) for name in ("scores", "labels"))
    return Answered(np.stack(terms), scores, truth)


def _unequal(space: Float32, sampler: EpisodeSampler, episodes: int, options: HeadOptions) -> Answered:
    """Answers episodes in which each class has its own number of shots, drawn log-uniformly from 1 to the sampler's."""
    terms, scores = [], []
    for index in range(episodes):
        episode = sampler.episode(index)
        rng = np.random.default_rng((sampler.seed, sampler.ways, index))
        counts = np.exp(rng.uniform(0, np.log(sampler.shots + 1), sampler.ways)).astype(int)
        support = np.concatenate([images[:count] for images, count in zip(episode.support, counts, strict=True)])
        labels = np.repeat(np.arange(sampler.ways), counts)
        terms.append(_terms(space, support, labels))
        scores.append(_scores(space, support, labels, episode, options) - _expected(options.solver, counts))
    truth = np.tile(np.repeat(np.arange(sampler.ways), sampler.queries), (episodes, 1))
    return Answered(np.stack(terms), np.stack(scores).astype(np.float32), truth)


def _scores(space: Float32, support: Indices, labels: Indices, episode: Episode, options: HeadOptions) -> Floats:
    linear = fit(space[support], labels, len(episode.classes), options)
    scores: Floats = space[episode.query.ravel()] @ linear.weight.T + linear.bias
    return scores


def _expected(solver: Solver, counts: Ints) -> Floats | float:
    """Returns the correction for unequal classes that `models.heads.fitting.fit_head` applies."""
    return expected_by_share(counts) if METHODS[solver].learns_shares else 0.0


def _terms(space: Float32, support: Indices, labels: Indices) -> Floats:
    return support_terms(geometry(space[support], labels))
