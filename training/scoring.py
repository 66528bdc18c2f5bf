"""How well a bundle in the making does."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from models.engine import Engine, EngineKind, embed_all
from models.heads import Float32
from models.manifest import Evaluation, HeadDefaults, HeadOptions, Solver
from models.temperature import options_for
from training.data import ImageSet
from training.episodes import SHOTS, WAYS, EpisodeSampler, affordable_queries
from training.evaluate import score
from training.temperatures import tune_temperatures
from training.tuning import tune_heads

_SEED = 1

# Where there are too few classes to choose on: what the shipped backbone's validation classes chose, rounded, and centred, which
# helped wherever the images were not those of training.
UNTUNED = HeadDefaults(
    logistic=HeadOptions(solver="logistic", C=3.0, temperature=0.2, centre=True),
    ridge=HeadOptions(solver="ridge", C=1.0, temperature=0.07, centre=True),
    prototype=HeadOptions(solver="prototype", C=1.0, temperature=0.07, centre=True),
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Images:
    """The images that a bundle is made with.

    Attributes:
        dataset: what evaluations call them.
        base: what the statistics are made from and int8 is calibrated on.
        validation: classes that head options are chosen on; None where there are too few.
        novel: classes that nothing is chosen on; None where there are none.
    """

    dataset: str
    base: ImageSet
    validation: ImageSet | None
    novel: ImageSet | None


class Scorer:
    """Scores engines on the validation and novel classes, embedding each set once per engine.

    Args:
        engine: whose embeddings of the base images make `mean`.
        episodes: per evaluation.
    """

    def __init__(self, images: Images, engine: Engine, episodes: int) -> None:
        self._images = images
        self._episodes = episodes
        self._embedded: dict[tuple[EngineKind, int], Float32] = {}
        self.mean: Float32 = self.embed(engine, images.base).mean(axis=0)

    def embed(self, engine: Engine, images: ImageSet) -> Float32:
        key = engine.kind, id(images)
        if key not in self._embedded:
            self._embedded[key] = embed_all(engine, images.images)
        return self._embedded[key]

    def choose_heads(self, engine: Engine, say: Say) -> HeadDefaults:
        """Options chosen on the validation classes, or `UNTUNED` without any."""
        images = self._images.validation
        if images is None:
            say("head defaults: stated ones, since there are too few classes or images to choose on")
            heads = UNTUNED
        else:
            say("choosing head defaults on validation episodes")
            embeddings, by_class = self.embed(engine, images), images.indices_by_class()
            heads = tune_heads(embeddings, self.mean, by_class)
            laws = tune_temperatures(embeddings, self.mean, heads, by_class)
            heads = heads.model_copy(update={"temperatures": laws})
        for options in (heads.logistic, heads.ridge, heads.prototype):
            say(f"  {options.solver}: C {options.C:g}, temperature {options.temperature:g}, centre {options.centre}")
        return heads

    def evaluation(
        self, engine: Engine, file: str, part: Literal["validation", "test"], options: HeadOptions, shots: int
    ) -> Evaluation:
        images = self._images.validation if part == "validation" else self._images.novel
        assert images is not None
        by_class = images.indices_by_class()
        sampler = EpisodeSampler(by_class, WAYS, shots, affordable_queries(by_class, max(SHOTS)), _SEED)
        scored = score(self.embed(engine, images), self.mean, sampler, self._episodes, options)
        return Evaluation(dataset=self._images.dataset, part=part, file=file, solver=options.solver, seed=_SEED, **asdict(scored))

    def evaluations(self, engine: Engine, file: str, heads: HeadDefaults) -> list[Evaluation]:
        """The parts there are, at 1 and 5 shots: every solver on the validation classes, the default one on the novel ones."""
        parts: list[tuple[Literal["validation", "test"], Solver]] = []
        if self._images.validation is not None:
            parts += [("validation", solver) for solver in get_args(Solver)]
        if self._images.novel is not None:
            parts.append(("test", heads.solver))
        return [
            self.evaluation(engine, file, part, options_for(heads, solver, [shots] * WAYS), shots)
            for part, solver in parts
            for shots in SHOTS
        ]
