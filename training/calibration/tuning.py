"""Chooses head defaults on validation-class episodes of one or of several datasets, never on novel classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Float32, features, softmax
from models.heads.solvers import METHODS
from models.manifest import HeadDefaults, HeadOptions, Solver
from training.evaluation.episodes import SHOTS, WAYS, Embedded, EpisodeSampler, affordable_queries
from training.evaluation.evaluate import episode_scores

EPISODES = 400
_SEED = 20_000
_MANY_WAYS = 20
_C = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_TEMPERATURES = tuple(float(t) for t in np.round(np.geomspace(0.02, 5.0, 60), 4))

_Scored = list[tuple[Float32, NDArray[np.int64]]]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The episodes of one dataset, ways and shots; `spaces` are its features, centred and not."""

    spaces: dict[bool, Float32]
    sampler: EpisodeSampler
    episodes: int


def tune_heads(datasets: Sequence[Embedded], mean: Float32) -> HeadDefaults:
    """Returns options per solver: C and centring by accuracy, then the temperature by likelihood.

    Both are averaged over the datasets, over 5 and 20 ways (or all classes where there are fewer), and over 1 and 5 shots. Among
    5 classes of one dataset most answers may be right under any C, and the choice would be chance.

    Args:
        datasets: their validation classes.
        mean: (D,) the bundle's feature mean.

    Raises:
        DataError: there are too few validation classes or images.
    """
    drawn = [each for data in datasets for each in _draw(data, mean, max(1, EPISODES // len(datasets)))]
    return HeadDefaults.model_validate({solver: _tune(solver, drawn) for solver in METHODS})


def _draw(data: Embedded, mean: Float32, episodes: int) -> list[_Drawn]:
    """Draws episodes, with as many queries in total for many classes as for 5."""
    spaces = {centre: features(data.embeddings, mean if centre else None) for centre in (True, False)}
    queries = affordable_queries(data.by_class, max(SHOTS))
    return [
        _Drawn(
            spaces,
            EpisodeSampler(data.by_class, ways, shots, queries, _SEED),
            max(1, episodes * WAYS // ways),
        )
        for ways in sorted({WAYS, max(WAYS, min(_MANY_WAYS, len(data.by_class)))})
        for shots in SHOTS
    ]


def _tune(solver: Solver, drawn: Sequence[_Drawn]) -> HeadOptions:
    best: tuple[float, HeadOptions, list[_Scored]] | None = None
    for centre in (True, False):
        for C in _C if METHODS[solver].penalised else (1.0,):
            options = HeadOptions(solver=solver, C=C, temperature=1.0, centre=centre)
            scored = [_scored(each, options) for each in drawn]
            accuracy = float(np.mean([_accuracy(part) for part in scored]))
            if best is None or accuracy > best[0]:
                best = accuracy, options, scored
    assert best is not None
    _, options, scored = best
    temperature = min(_TEMPERATURES, key=lambda t: float(np.mean([_cross_entropy(part, t) for part in scored])))
    return options.model_copy(update={"temperature": temperature})


def _scored(drawn: _Drawn, options: HeadOptions) -> _Scored:
    return list(episode_scores(drawn.spaces[options.centre], drawn.sampler, drawn.episodes, options))


def _accuracy(scored: _Scored) -> float:
    return float(np.mean([np.mean(scores.argmax(axis=-1) == labels) for scores, labels in scored]))


def _cross_entropy(scored: _Scored, temperature: float) -> float:
    losses = []
    for scores, labels in scored:
        chosen = np.take_along_axis(softmax(scores, temperature), labels[..., None], axis=-1)
        losses.append(-np.log(np.maximum(chosen, 1e-12)).mean())
    return float(np.mean(losses))
