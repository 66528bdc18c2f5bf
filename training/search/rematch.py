"""The best trial against the recipe as it is, once more: trained with another seed, measured on other episodes.

The best of many trials is partly the luckiest, in its seed and in its episodes. A second training, which nothing was chosen by,
has no such luck.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.run.recipes import Recipe
from training.search.runs import Runs
from training.search.study import Study

_EPISODES, _EPISODES_SEED = 2000, 1  # validation draws its own by seed 0


@dataclass(frozen=True)
class Rematch:
    """Mean accuracies on the same validation episodes, as shares of one.

    Attributes:
        recipe, best: of the recipe as it is and of the best trial's, each trained with another seed than the trials.
        interval: half of the 95 % interval of the difference, over episodes.
        moved: by how much the other seed alone moved the recipe as it is.
    """

    recipe: float
    best: float
    interval: float
    moved: float

    @property
    def difference(self) -> float:
        return self.best - self.recipe


def rematch(
    study: Study, runs: Runs, recipes: tuple[Recipe, Recipe], folders: tuple[Path, Path], trial_0: Path, seed: int
) -> Rematch:
    """Trains and measures both, goes on with that, or returns what is known already.

    Args:
        recipes: as it is, and of the best trial.
        folders: of their second runs.
        trial_0: the folder of the first run of the recipe as it is.
        seed: other than that of the trials.

    Raises:
        Interrupted: a signal came.
        CheckpointError: a run's files cannot be read or written.
    """
    name = f"rematch of trial {folders[1].name}"
    if (known := study.remembered(name)) is not None:
        return Rematch(**known)
    for recipe, folder in zip(recipes, folders, strict=True):
        runs.train(recipe, seed, folder)
    first, plain, other = (runs.accuracies(folder, _EPISODES, _EPISODES_SEED) for folder in (trial_0, *folders))
    differences = [other[column] - plain[column] for column in plain]
    variance = sum(float(each.var(ddof=1)) / len(each) for each in differences) / len(differences) ** 2
    before, now, best = (float(np.mean(list(accuracies.values()))) for accuracies in (first, plain, other))
    result = Rematch(now, best, 1.96 * float(np.sqrt(variance)), now - before)
    study.remember(name, asdict(result))
    return result
