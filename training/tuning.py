"""Head defaults, chosen on validation-class episodes: never on novel classes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.heads import Float32, features, softmax
from models.manifest import HeadDefaults, HeadOptions, Solver
from training.episodes import SHOTS, WAYS, EpisodeSampler, Indices, affordable_queries
from training.evaluate import episode_scores

EPISODES = 400
_SEED = 20_000
_C = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_TEMPERATURES = tuple(float(t) for t in np.round(np.geomspace(0.02, 5.0, 60), 4))

_Scored = list[tuple[Float32, NDArray[np.int64]]]


def tune_heads(embeddings: Float32, mean: Float32, by_class: Sequence[Indices]) -> HeadDefaults:
    """Options per solver: C and centring by accuracy, then the temperature by likelihood, each averaged over 1 and 5 shots.

    Args:
        embeddings: (N, D) of the validation images, which `by_class` indexes.
        mean: (D,) the bundle's feature mean.

    Raises:
        DataError: there are too few validation classes or images.
    """
    queries = affordable_queries(by_class, max(SHOTS))
    samplers = [EpisodeSampler(by_class, WAYS, shots, queries, _SEED) for shots in SHOTS]
    return HeadDefaults(
        logistic=_tune("logistic", embeddings, mean, samplers),
        ridge=_tune("ridge", embeddings, mean, samplers),
        prototype=_tune("prototype", embeddings, mean, samplers),
    )


def _tune(solver: Solver, embeddings: Float32, mean: Float32, samplers: Sequence[EpisodeSampler]) -> HeadOptions:
    best: tuple[float, HeadOptions, list[_Scored]] | None = None
    for centre in (True, False):
        space = features(embeddings, mean if centre else None)
        for C in (1.0,) if solver == "prototype" else _C:
            options = HeadOptions(solver=solver, C=C, temperature=1.0, centre=centre)
            scored = [list(episode_scores(space, sampler, EPISODES, options)) for sampler in samplers]
            accuracy = float(np.mean([_accuracy(part) for part in scored]))
            if best is None or accuracy > best[0]:
                best = accuracy, options, scored
    assert best is not None
    _, options, scored = best
    temperature = min(_TEMPERATURES, key=lambda t: float(np.mean([_cross_entropy(part, t) for part in scored])))
    return options.model_copy(update={"temperature": temperature})


def _accuracy(scored: _Scored) -> float:
    return float(np.mean([np.mean(scores.argmax(axis=-1) == labels) for scores, labels in scored]))


def _cross_entropy(scored: _Scored, temperature: float) -> float:
    losses = []
    for scores, labels in scored:
        chosen = np.take_along_axis(softmax(scores, temperature), labels[..., None], axis=-1)
        losses.append(-np.log(np.maximum(chosen, 1e-12)).mean())
    return float(np.mean(losses))
