"""The trials of a search, as a study of Optuna in an SQLite file.

Trial 0 is the recipe as it is. The others are proposed by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011),
after ten at random. A proposal depends on the seed, its number and the finished trials alone, so a search that was killed goes on
as if it had not been.

A trial whose best accuracy so far is below the median of the finished trials after as many epochs is pruned (Golovin et al., KDD
2017, section 3.2), but not while its learning rate still rises.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from training.run.recipes import Recipe, changed
from training.search.space import Axis, Choice, Space, Value

FILE_NAME = "optuna.db"
_NAME = "recipe"
_SECONDS = "seconds"
_LEAST_FOR_IMPORTANCE, _BEST = 10, 5


@dataclass(frozen=True)
class Proposal:
    """A recipe to be tried.

    Attributes:
        number: 0 for the recipe as it is.
        values: what differs from the recipe as it is.
        trial: of Optuna.
    """

    number: int
    values: Mapping[str, Value]
    recipe: Recipe
    trial: Trial


@dataclass(frozen=True)
class Tried:
    """A finished trial: its mean accuracy on the validation episodes, and what differed from the recipe as it is."""

    number: int
    accuracy: float
    values: Mapping[str, Value]


class Study:
    """The trials of a folder: proposed, reported, ended.

    Args:
        folder: holds the SQLite file, which is made if it is missing.
        recipe: that of trial 0.
    """

    def __init__(self, folder: Path, recipe: Recipe, space: Space, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._recipe, self._space, self._seed = recipe, space, seed
        self._storage = RDBStorage(f"sqlite:///{folder.absolute() / FILE_NAME}")
        self._study = optuna.create_study(
            study_name=_NAME,
            storage=self._storage,
            load_if_exists=True,
            direction="maximize",
            pruner=MedianPruner(n_warmup_steps=math.ceil(recipe.warmup * recipe.epochs)),
        )
        # Where a field of the recipe is outside of its range, trial 0 tells the estimator nothing about that field.
        self._known = {name: value for name, axis in space.items() if (value := getattr(recipe, name)) in axis}
        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(self._known)

    def close(self) -> None:
        """Closes the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    @property
    def ended(self) -> int:
        """The number of trials that ended, pruned ones among them."""
        return len(self._trials(TrialState.COMPLETE, TrialState.PRUNED))

    @property
    def seconds(self) -> float:
        """The training of those trials."""
        return sum(float(trial.user_attrs[_SECONDS]) for trial in self._trials(TrialState.COMPLETE, TrialState.PRUNED))

    @property
    def interrupted(self) -> bool:
        """True if a trial began and has not ended."""
        return bool(self._trials(TrialState.RUNNING))

    @property
    def idle(self) -> int:
        """The number of trials in a row, up to the last one, that trained nothing."""
        trained = [trial.user_attrs[_SECONDS] > 0 for trial in self._trials(TrialState.COMPLETE, TrialState.PRUNED)]
        return trained[::-1].index(True) if True in trained else len(trained)

    def propose(self) -> Proposal:
        """Begins the next trial, or goes on with the one that was interrupted."""
        running = self._trials(TrialState.RUNNING)
        trial = self._of_another_process(running[0].number) if running else self._study.ask()
        number = trial.number
        self._study.sampler = TPESampler(seed=int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0]))
        if number == 0:
            for name in self._known:
                _suggest(trial, name, self._space[name])
            return Proposal(0, {}, self._recipe, trial)
        values = {name: _suggest(trial, name, axis) for name, axis in self._space.items()}
        return Proposal(number, values, changed(self._recipe, values), trial)

    def _of_another_process(self, number: int) -> Trial:
        study = self._storage.get_study_id_from_name(_NAME)
        return Trial(self._study, self._storage.get_trial_id_from_study_id_trial_number(study, number))

    def goes_on(self, proposal: Proposal, epoch: int, accuracy: float) -> bool:
        """Notes a trial's accuracy after an epoch. Returns whether the trial is worth going on with."""
        (noted,) = self._trials(TrialState.RUNNING)
        if epoch not in noted.intermediate_values:
            proposal.trial.report(accuracy, epoch)
        return not proposal.trial.should_prune()

    def complete(self, proposal: Proposal, accuracy: float, seconds: float) -> None:
        """Finishes a trial."""
        proposal.trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(proposal.trial, accuracy)

    def prune(self, proposal: Proposal, seconds: float) -> None:
        """Ends a trial that is not worth going on with, or cannot begin."""
        proposal.trial.set_user_attr(_SECONDS, seconds)
        self._study.tell(proposal.trial, state=TrialState.PRUNED)

    def end_as_before(self, proposal: Proposal) -> int | None:
        """Ends a trial like an earlier one of the same values, if there is one, and returns its number."""
        for trial in self._trials(TrialState.COMPLETE, TrialState.PRUNED):
            if changed(self._recipe, self._values(trial)) == proposal.recipe:
                if trial.state == TrialState.COMPLETE:
                    self.complete(proposal, cast("float", trial.value), 0.0)
                else:
                    self.prune(proposal, 0.0)
                return trial.number
        return None

    def tried(self) -> list[Tried]:
        """Returns the finished trials, the best first. Of equals the first trial comes first."""
        found = [
            Tried(trial.number, cast("float", trial.value), self._values(trial)) for trial in self._trials(TrialState.COMPLETE)
        ]
        return sorted(found, key=lambda trial: (-trial.accuracy, trial.number))

    def _values(self, trial: FrozenTrial) -> dict[str, Value]:
        if trial.number == 0:
            return {}
        return {name: _rounded(trial.params[name], axis) for name, axis in self._space.items()}

    def importances(self) -> dict[str, float]:
        """Returns the share of each field in being among the best trials (PED-ANOVA; Watanabe et al., IJCAI 2023), the largest
        first. Empty where there are too few trials, or where too many are equally good.
        """
        accuracies = [trial.accuracy for trial in self.tried()]
        if len(accuracies) < _LEAST_FOR_IMPORTANCE or accuracies[_BEST - 1] == accuracies[-1]:
            return {}
        # Optuna asks for five trials or more among the best.
        evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, _BEST / len(accuracies)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Some regimes")  # trial 0 alone may lack fields
            return get_param_importances(self._study, evaluator=evaluator)

    def remember(self, name: str, value: Mapping[str, float]) -> None:
        """Keeps figures under a name."""
        self._study.set_user_attr(name, dict(value))

    def remembered(self, name: str) -> Mapping[str, float] | None:
        """Returns the figures of that name; None if there are none."""
        return cast("Mapping[str, float] | None", self._study.user_attrs.get(name))

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)


def _suggest(trial: Trial, name: str, axis: Axis) -> Value:
    if isinstance(axis, Choice):
        return cast("Value", trial.suggest_categorical(name, axis.values))
    if axis.whole:
        return trial.suggest_int(name, int(axis.low), int(axis.high), log=axis.logarithmic)
    return _rounded(trial.suggest_float(name, axis.low, axis.high, log=axis.logarithmic), axis)


def _rounded(value: Value, axis: Axis) -> Value:
    """Returns a value as it is tried and told: more digits than three would only look exact."""
    if isinstance(axis, Choice) or axis.whole:
        return value
    return min(max(float(f"{value:.3g}"), axis.low), axis.high)
