"""A whole search: trials until the limit, and the best of them once more beside the recipe as it is."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from training.run.recipes import changed
from training.search.rematch import Rematch, rematch
from training.search.runs import Runs
from training.search.space import Space, Value, told
from training.search.study import Study, Tried
from training.search.trials import Limit, Trials

_SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """The end of a search.

    Attributes:
        tried: the finished trials, the best first.
        ended: the number of all trials, pruned ones among them.
        importances: the share of each field in being among the best trials; empty where that cannot be said.
        rematch: of the best trial against the recipe as it is; None if that is the best.
    """

    tried: Sequence[Tried]
    ended: int
    importances: Mapping[str, float]
    rematch: Rematch | None

    @property
    def chosen(self) -> Mapping[str, Value]:
        """The values to change in the recipe. There are none unless the rematch too was won."""
        return self.tried[0].values if self.rematch and self.rematch.difference > 0 else {}

    def lines(self) -> list[str]:
        """Returns the outcome in words."""
        shown = [*self.tried[:_SHOWN], *(trial for trial in self.tried[_SHOWN:] if trial.number == 0)]
        mattered = ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.importances.items())
        return [
            f"{len(self.tried)} of {self.ended} trials were finished. Mean accuracy on validation episodes, the best first:",
            *(f"  trial {trial.number:<4} {100 * trial.accuracy:.2f} %  {told(trial.values)}" for trial in shown),
            *([f"importance for being among the best: {mattered}"] if mattered else []),
            *(_verdict(self.rematch) if self.rematch else ["no trial was better than the recipe as it is"]),
        ]


def _verdict(second: Rematch) -> list[str]:
    if second.difference > max(second.interval, abs(second.moved)):
        verdict = "better than the recipe as it is, by more than the interval and than the seed alone"
    elif second.difference > 0:
        verdict = "not told apart from the recipe as it is: the interval, or what the seed alone did, is larger"
    else:
        verdict = "no better than the recipe as it is, which is therefore kept"
    return [
        f"trained once more with another seed: {100 * second.best:.2f} %, and the recipe as it is {100 * second.recipe:.2f} %",
        f"  difference {100 * second.difference:+.2f} ± {100 * second.interval:.2f} points over episodes; "
        f"the seed alone moved the recipe as it is by {100 * second.moved:+.2f}",
        f"  so the best trial's values are {verdict}",
    ]


def search(runs: Runs, space: Space, folder: Path, seed: int, limit: Limit, say: Callable[[str], None]) -> Outcome:
    """Searches in a folder, or goes on with it.

    Args:
        runs: their recipe is that of trial 0.
        seed: of the proposals and of every trial's training; the rematch has the next one.
        say: shows a line.

    Raises:
        Interrupted: a signal came; another call goes on.
        RecipeError, DataError: the recipe as it is cannot be trained.
        CheckpointError: a run's files cannot be read or written.
    """
    recipe = runs.before.recipe
    with closing(Study(folder, recipe, space, seed)) as study:
        trials = Trials(study, runs, folder / "trials", seed, say)
        trials.run(limit)
        best, second = study.tried()[0], None
        if best.number:
            say(f"trial {best.number} and the recipe as it is, once more with seed {seed + 1}")
            recipes = (recipe, changed(recipe, best.values))
            folders = (folder / "again" / "000", folder / "again" / f"{best.number:03}")
            second = rematch(study, runs, recipes, folders, trials.folder_of(0), seed + 1)
        return Outcome(study.tried(), study.ended, study.importances(), second)
