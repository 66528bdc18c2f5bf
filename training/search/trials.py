"""The trials of a search, one after another, until a limit."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from training.data.dataset import DataError
from training.run.checkpoint import FILE_NAME
from training.run.interrupt import Interrupted, stop_signals
from training.run.loop import Row
from training.run.recipes import RecipeError, changed
from training.search.runs import Runs, accuracy_of
from training.search.space import Choice, Space, text_of, told
from training.search.study import Proposal, Study

_IDLE_AT_MOST = 10  # trials in a row that train nothing


@dataclass(frozen=True)
class Limit:
    """The number of trials, or the minutes of training after which none begins; one of them is None."""

    trials: int | None
    minutes: float | None

    def reached(self, study: Study) -> bool:
        """Returns whether no further trial begins."""
        if self.trials is not None:
            return study.ended >= self.trials
        assert self.minutes is not None
        return study.seconds >= 60.0 * self.minutes

    def place(self, number: int, study: Study) -> str:
        """Returns a trial's number in words, with how far the search is."""
        if self.trials is not None:
            return f"trial {number}, up to {self.trials - 1}"
        return f"trial {number}, after {study.seconds / 60.0:.1f} of {self.minutes:g} minutes"


def refuse_contradictions(runs: Runs, space: Space) -> None:
    """Checks that runs could begin: the recipe as it is, and with each field at its ends or at any of its values.

    Raises:
        RecipeError, DataError: one could not.
    """
    recipe = runs.before.recipe
    runs.refuse_contradictions(recipe)
    for name, axis in space.items():
        values = axis.values if isinstance(axis, Choice) else (axis.low, axis.high)
        for value in values:
            try:
                runs.refuse_contradictions(changed(recipe, {name: value}))
            except (RecipeError, DataError) as error:
                raise type(error)(f"{name}={text_of(value)} is no value to try: {error}") from error


class Trials:
    """The trials, each a run in a folder of its own.

    Args:
        folder: of these folders.
        seed: of every trial's training.
        say: shows a line.
    """

    def __init__(self, study: Study, runs: Runs, folder: Path, seed: int, say: Callable[[str], None]) -> None:
        self._study, self._runs, self._folder, self._seed, self._say = study, runs, folder, seed, say

    def folder_of(self, number: int) -> Path:
        """Returns the folder of a trial's run."""
        return self._folder / f"{number:03}"

    def run(self, limit: Limit) -> None:
        """Runs trials until the limit. One that was interrupted comes first, and ends in any case.

        Raises:
            Interrupted: a signal came; another call goes on.
            RecipeError, DataError: the recipe as it is cannot be trained.
            CheckpointError: a run's files cannot be read or written.
        """
        with stop_signals() as stopped:
            while self._study.interrupted or not limit.reached(self._study):
                if self._study.idle >= _IDLE_AT_MOST:
                    self._say(f"the search ends: the last {_IDLE_AT_MOST} trials were tried before, or cannot be")
                    return
                proposal = self._study.propose()
                self._say(f"{limit.place(proposal.number, self._study)}: {told(proposal.values)}")
                self._run(proposal)
                self._remove_weights()
                if stopped():
                    raise Interrupted(f"stopped after trial {proposal.number}")

    def _run(self, proposal: Proposal) -> None:
        def goes_on(row: Row) -> bool:
            return math.isfinite(row["loss"]) and self._study.goes_on(proposal, int(row["epoch"]), accuracy_of(row))

        if (before := self._study.end_as_before(proposal)) is not None:
            self._say(f"trial {proposal.number} is trial {before} again")
            return
        try:
            run = self._runs.train(proposal.recipe, self._seed, self.folder_of(proposal.number), goes_on)
        except (RecipeError, DataError, torch.OutOfMemoryError) as error:
            if proposal.number == 0:
                raise
            self._study.prune(proposal, 0.0)
            self._say(f"trial {proposal.number} cannot be: {str(error).splitlines()[0]}")
            return
        accuracy = accuracy_of(run.history[-1])
        result = f"{100 * accuracy:.2f} % in {run.seconds:.0f} s"
        if proposal.number == 0 or (run.finished and all(math.isfinite(row["loss"]) for row in run.history)):
            self._study.complete(proposal, accuracy, run.seconds)
            best = self._study.tried()[0]
            self._say(f"trial {proposal.number}: {result}; best {100 * best.accuracy:.2f} % by trial {best.number}")
        else:
            self._study.prune(proposal, run.seconds)
            self._say(f"trial {proposal.number}: {result}, given up after {len(run.history)} of {run.recipe.epochs} epochs")

    def _remove_weights(self) -> None:
        """Removes the checkpoints of ended trials, which may be large, but for trial 0 and the best."""
        kept = {self.folder_of(number) for number in (0, *(trial.number for trial in self._study.tried()[:1]))}
        for file in self._folder.glob(f"*/{FILE_NAME}"):
            if file.parent not in kept:
                file.unlink()
