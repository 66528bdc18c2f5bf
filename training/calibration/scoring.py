"""Scores a new bundle on validation and novel classes."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Literal, get_args

import numpy as np

from models.engine import Engine, EngineKind, embed_all
from models.heads.head import Float32
from models.heads.temperature import Law, law_of
from models.manifest import Evaluation, HeadDefaults, HeadOptions, Solver
from training.calibration.novelty import tune_novelty
from training.calibration.temperatures import tune_temperatures
from training.calibration.tuning import tune_heads
from training.data.dataset import DatasetParts, ImageSet
from training.evaluation.episodes import SHOTS, WAYS, Embedded, EpisodeSampler, affordable_queries
from training.evaluation.evaluate import score

_SEED = 1

Say = Callable[[str], None]


def base_mean(embeddings: Sequence[Float32]) -> Float32:
    """Returns the `feature_mean` (D,) of a bundle. The datasets' means count equally, however many base images (N, D) each
    has.
    """
    mean: Float32 = np.mean([each.mean(axis=0) for each in embeddings], axis=0)
    return mean


class Scorer:
    """Scores engines on the validation and novel classes of every dataset, embedding each set once per engine.

    Args:
        mean: (D,) the bundle's feature mean.
        background: (M, D) the bundle's.
        episodes: per evaluation.
    """

    def __init__(self, datasets: Sequence[DatasetParts], mean: Float32, background: Float32, episodes: int) -> None:
        self._datasets = datasets
        self._mean = mean
        self._background = background
        self._episodes = episodes
        self._embedded: dict[tuple[EngineKind, int], Float32] = {}

    def embed(self, engine: Engine, images: ImageSet) -> Float32:
        """Returns embeddings (N, D) of the images, computed once per engine."""
        key = engine.kind, id(images)
        if key not in self._embedded:
            self._embedded[key] = embed_all(engine, images.images)
        return self._embedded[key]

    def choose_heads(self, engine: Engine, say: Say) -> HeadDefaults:
        """Returns options chosen on the validation classes; one dataset at least has some."""
        named = [(data.dataset, data.validation) for data in self._datasets if data.validation is not None]
        say(f"choosing head defaults on validation episodes of {', '.join(name for name, _ in named)}")
        embedded = [Embedded(self.embed(engine, images), images.indices_by_class()) for _, images in named]
        heads = tune_heads(embedded, self._mean)
        laws = tune_temperatures(embedded, self._mean, heads)
        return heads.model_copy(update={"temperatures": laws, "novelty": tune_novelty(embedded, self._background)})

    def evaluation(
        self,
        engine: Engine,
        file: str,
        data: DatasetParts,
        part: Literal["validation", "test"],
        options: HeadOptions,
        law: Law | None,
        shots: int,
    ) -> Evaluation:
        """Scores one part of a dataset; `law` is the temperature law, None for the temperature of the options."""
        images = data.validation if part == "validation" else data.novel
        assert images is not None
        by_class = images.indices_by_class()
        sampler = EpisodeSampler(by_class, WAYS, shots, affordable_queries(by_class, max(SHOTS)), _SEED)
        scored = score(self.embed(engine, images), self._mean, sampler, self._episodes, options, law=law)
        return Evaluation(dataset=data.dataset, part=part, file=file, solver=options.solver, seed=_SEED, **asdict(scored))

    def evaluations(self, engine: Engine, file: str, heads: HeadDefaults) -> list[Evaluation]:
        """Returns evaluations of every part at 1 and 5 shots: every solver on validation classes, the default one on novel
        ones.
        """
        parts: list[tuple[DatasetParts, Literal["validation", "test"], Solver]] = []
        for data in self._datasets:
            if data.validation is not None:
                parts += [(data, "validation", solver) for solver in get_args(Solver)]
            if data.novel is not None:
                parts.append((data, "test", heads.solver))
        return [
            self.evaluation(engine, file, data, part, heads.options(solver), law_of(heads, solver), shots)
            for data, part, solver in parts
            for shots in SHOTS
        ]

    def validation_accuracy(self, engine: Engine, options: HeadOptions, shots: int) -> float:
        """Returns the mean accuracy over the datasets that have validation classes."""
        judged = [data for data in self._datasets if data.validation is not None]
        found = [self.evaluation(engine, engine.kind, data, "validation", options, None, shots) for data in judged]
        return float(np.mean([each.accuracy for each in found]))
