"""`headstart-train search`: it finds what was planted, survives whatever stops it, and never recommends what is worse."""

import json
import math
import re
import shlex
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from tests.helpers.searches import imaginary, runs_on_hues
from tests.helpers.trainer_data import BASE, NOVEL, VALIDATION, write_colours
from training.__main__ import main
from training.data.dataset import DataError
from training.run import loop
from training.run.checkpoint import FILE_NAME, Checkpoint
from training.run.interrupt import Interrupted
from training.run.loop import Trainer
from training.run.recipes import RECIPES, Recipe, RecipeError, changed, find_recipe
from training.search import rematch
from training.search.folder import SearchError, kept_for
from training.search.runs import Runs
from training.search.search import Outcome, search
from training.search.space import Choice, Range, Space
from training.search.study import FILE_NAME as STUDY
from training.search.study import Study, Tried
from training.search.trials import Limit, refuse_contradictions

pytestmark = pytest.mark.usefixtures("no_curves", "few_episodes")

SEED = 3
SLOW = pytest.mark.slow
SPACE: Space = {"learning_rate": Range(0.01, 1.0), "batch_size": Choice((16, 32)), "label_smoothing": Range(0.0, 0.3)}


@pytest.fixture(scope="module")
def few_episodes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_VALIDATION_EPISODES", 40)
        patch.setattr(rematch, "_EPISODES", 100)
        yield


def silent(_line: str) -> None:
    """Shows nothing."""


def searched(runs: Runs, folder: Path, trials: int, space: Space = SPACE, say: Callable[[str], None] = silent) -> Outcome:
    folder.mkdir(exist_ok=True)
    return search(runs, space, folder, SEED, Limit(trials, None), say)


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / STUDY)) as database:
        return database.execute(query).fetchall()


def record(folder: Path) -> list[list[tuple[Any, ...]]]:
    """Everything that Optuna keeps of the trials but the times."""
    return [
        rows(folder, "select number, state from trials order by number"),
        rows(folder, "select trial_id, param_name, param_value from trial_params order by 1, 2"),
        rows(folder, "select trial_id, value from trial_values order by 1"),
        rows(folder, "select trial_id, step, intermediate_value from trial_intermediate_values order by 1, 2"),
    ]


# --- what it finds ---


def test_a_planted_optimum_is_found_and_wins_once_more(tmp_path: Path) -> None:
    runs = runs_on_hues(learning_rate=1e-6, epochs=5)
    outcome = searched(runs, tmp_path / "search", 6, {"learning_rate": Choice((1e-6, 0.1))})
    assert outcome.chosen == {"learning_rate": 0.1}
    assert outcome.rematch is not None
    assert outcome.rematch.difference > outcome.rematch.interval > 0
    plain = next(trial for trial in outcome.tried if trial.number == 0)
    assert outcome.tried[0].accuracy > plain.accuracy + 0.1
    if outcome.rematch.difference > abs(outcome.rematch.moved):
        assert "better than the recipe as it is, by more than the interval and than the seed alone" in outcome.lines()[-1]
    # Trial 0 is what `headstart-train run` trains by the recipe, measured as that measures.
    alone = runs.train(runs.before.recipe, SEED, tmp_path / "alone")
    assert plain.accuracy == np.mean([alone.history[-1][f"validation_{shots}-shot"] for shots in (1, 5)])


def test_where_nothing_is_better_the_recipe_stays_as_it_is(tmp_path: Path) -> None:
    outcome = searched(imaginary(peak), tmp_path, 3, {"learning_rate": Choice((0.1, 1e-6))})
    assert (outcome.tried[0].number, outcome.chosen, outcome.rematch) == (0, {}, None)
    assert outcome.lines()[-1] == "no trial was better than the recipe as it is"


def peak(recipe: Recipe, epoch: int) -> float:
    """Accuracy that falls off from a rate of 0.3, and does not know label smoothing."""
    return 0.9 - 0.2 * abs(math.log10(recipe.learning_rate / 0.3)) - 0.1 / epoch


def test_the_estimator_comes_near_an_optimum_and_gives_up_what_is_hopeless(tmp_path: Path) -> None:
    said: list[str] = []
    space: Space = {"learning_rate": Range(0.001, 10.0), "label_smoothing": Range(0.0, 0.3)}
    outcome = searched(imaginary(peak, learning_rate=0.002, epochs=5), tmp_path, 25, space, said.append)
    assert outcome.ended == 25
    assert 0.15 < float(outcome.tried[0].values["learning_rate"]) < 0.6
    assert list(outcome.importances) == ["learning_rate", "label_smoothing"]
    given_up = {int(match[1]) for line in said for match in re.finditer(r"after (\d) of 5 epochs", line)}
    assert len(outcome.tried) < 25
    assert min(given_up) == 2  # the rate rises for 1.5 epochs
    for trial in outcome.tried[:5]:
        assert trial.accuracy == pytest.approx(peak(changed(RECIPES["quick"], {"learning_rate": 0.002, **trial.values}), 5))


def test_too_few_trials_have_no_importances(tmp_path: Path) -> None:
    assert not searched(imaginary(peak, epochs=1), tmp_path, 9).importances


def test_the_best_of_luck_is_not_recommended(tmp_path: Path) -> None:
    """Imaginary runs are equally good once more, but for noise."""
    runs = imaginary(peak)
    study = Study(tmp_path, runs.before.recipe, SPACE, SEED)
    tried = [Tried(1, 0.6, {"learning_rate": 0.3}), Tried(0, 0.5, {})]
    verdicts = {}
    for number in range(1, 30):
        folders = (tmp_path / "again" / "000", tmp_path / "again" / f"{number:03}")
        second = rematch.rematch(study, runs, (runs.before.recipe,) * 2, folders, tmp_path / "trials" / "000", SEED + 1)
        # Each of two columns has 100 differences of two independent accuracies.
        assert second.interval == pytest.approx(1.96 * np.sqrt(2 * 0.1**2 / 100 / 2), rel=0.25)
        outcome = Outcome(tried, 2, {}, second)
        verdicts[second.difference > 0] = outcome.lines()[-1]
        assert outcome.chosen == ({"learning_rate": 0.3} if second.difference > 0 else {})
    assert "no better than the recipe as it is, which is therefore kept" in verdicts[False]
    assert "not told apart" in verdicts[True]


def test_a_recipe_outside_of_the_range_is_trial_0_all_the_same(tmp_path: Path) -> None:
    outcome = searched(imaginary(peak), tmp_path, 12, {"learning_rate": Range(0.2, 0.9), "cosine_scale": Range(1.0, 50.0)})
    plain = next(trial for trial in outcome.tried if trial.number == 0)
    assert plain.accuracy == pytest.approx(peak(RECIPES["quick"], 4))
    assert {tuple(trial.values) for trial in outcome.tried if trial.number} == {("learning_rate", "cosine_scale")}


def test_minutes_are_those_of_training_in_all(tmp_path: Path) -> None:
    """An imaginary trial takes 40 seconds."""
    runs, space = imaginary(lambda _recipe, _epoch: 0.5), SPACE
    for minutes, ended in ((1.0, 2), (1.0, 2), (3.0, 5)):
        assert search(runs, space, tmp_path, SEED, Limit(None, minutes), silent).ended == ended


# --- what goes wrong ---


def test_a_rate_that_diverges_is_given_up(tmp_path: Path) -> None:
    said: list[str] = []
    outcome = searched(runs_on_hues(), tmp_path, 6, {"learning_rate": Choice((0.1, 1e30))}, said.append)
    assert {trial.values.get("learning_rate", 0.1) for trial in outcome.tried} == {0.1}
    assert outcome.ended == 6
    assert any("given up after 1 of 2 epochs" in line for line in said)


def test_a_recipe_that_diverges_is_still_what_others_are_compared_with(tmp_path: Path) -> None:
    outcome = searched(runs_on_hues(learning_rate=1e30), tmp_path, 2, {"learning_rate": Range(0.05, 0.1)})
    assert [trial.number for trial in outcome.tried] == [1, 0]
    assert outcome.chosen


def test_values_that_no_run_could_begin_with_are_refused_before_the_first() -> None:
    with pytest.raises(RecipeError, match=r"mixup=1.0 is no value to try: conv4 has no blocks that mixup knows"):
        refuse_contradictions(runs_on_hues(), {"mixup": Range(0.0, 1.0)})
    with pytest.raises(DataError, match="batch_size=25 is no value to try: a batch of 25 cannot be divided into units of 6"):
        refuse_contradictions(runs_on_hues(ways=3, shots=2, batch_size=24), {"batch_size": Choice((24, 25))})


def test_values_that_exclude_each_other_cost_a_trial_and_not_the_search(tmp_path: Path) -> None:
    runs = runs_on_hues(epochs=1, rotation="all", invariance_weight=0.1)
    space: Space = {"rotation": Choice(("all", "off")), "invariance_weight": Choice((0.0, 0.1))}
    refuse_contradictions(runs_on_hues(epochs=1, rotation="all"), space)
    said: list[str] = []
    outcome = searched(runs, tmp_path, 12, space, said.append)
    assert any("cannot be: invariance compares every rotation" in line for line in said)
    assert 1 < len(outcome.tried) < outcome.ended


def test_a_search_that_has_nothing_left_to_try_ends(tmp_path: Path) -> None:
    trained = []

    def accuracy(recipe: Recipe, _epoch: int) -> float:
        if recipe.momentum == 0.5:
            raise RecipeError("no momentum of 0.5")
        trained.append((recipe.batch_size, recipe.momentum))
        return 0.5

    space: Space = {"batch_size": Choice((16, 32)), "momentum": Choice((0.9, 0.5))}
    said: list[str] = []
    outcome = search(imaginary(accuracy, epochs=1), space, tmp_path, SEED, Limit(None, 60.0), said.append)
    assert sorted(trained) == [(16, 0.9), (32, 0.9)]
    assert "the search ends: the last 10 trials were tried before, or cannot be" in said
    assert any(re.fullmatch(r"trial \d+ is trial 0 again", line) for line in said)
    assert "cannot be: no momentum of 0.5" in "".join(said)
    assert outcome.ended > 10


# --- what stops it ---


class Killed(BaseException):
    """Ends everything at once, as SIGKILL does."""


STOPPED = 3  # trials


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A search that nothing stopped."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, searched(runs_on_hues(), folder, STOPPED)


def kill_in_step(patch: pytest.MonkeyPatch, number: int) -> None:
    """Ends the search in the training step of that number, over all of its runs."""
    take, taken = Trainer.step, []

    def step(self: Trainer, at: int) -> Tensor:
        taken.append(at)
        if len(taken) == number:
            raise Killed
        return take(self, at)

    patch.setattr(Trainer, "step", step)


def kill_before(patch: pytest.MonkeyPatch, name: str, times: int) -> None:
    """Ends the search when a method of the study is called for that time."""
    call, called = getattr(Study, name), []

    def counted(self: Study, *arguments: Any) -> Any:
        called.append(arguments)
        if len(called) == times:
            raise Killed
        return call(self, *arguments)

    patch.setattr(Study, name, counted)


def interrupt_last_step(patch: pytest.MonkeyPatch, number: int) -> None:
    """Sends this process SIGINT in the last step of that run."""
    take, ended = Trainer.step, []

    def step(self: Trainer, at: int) -> Tensor:
        if at + 1 == self.total_steps:
            ended.append(at)
            if len(ended) == number:
                signal.raise_signal(signal.SIGINT)
        return take(self, at)

    patch.setattr(Trainer, "step", step)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(lambda patch: kill_in_step(patch, 11), id="in trial 1"),
        pytest.param(lambda patch: interrupt_last_step(patch, 2), id="by Ctrl-C in the last step of trial 1"),
        pytest.param(lambda patch: kill_before(patch, "goes_on", 3), id="an epoch on disk, not reported", marks=SLOW),
        pytest.param(lambda patch: kill_before(patch, "complete", 2), id="before the end of trial 1", marks=SLOW),
        pytest.param(lambda patch: kill_before(patch, "propose", 3), id="between trials", marks=SLOW),
        pytest.param(lambda patch: kill_before(patch, "remember", 1), id="at the very end", marks=SLOW),
    ],
)
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(
    stop: Callable[[pytest.MonkeyPatch], None], straight: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop(patch)
        with pytest.raises((Killed, Interrupted)):
            searched(runs_on_hues(), tmp_path, STOPPED)
    assert searched(runs_on_hues(), tmp_path, STOPPED) == straight[1]
    assert record(tmp_path) == record(straight[0])


def test_a_finished_search_trains_nothing_and_can_be_prolonged(
    straight: tuple[Path, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(straight[0], tmp_path / "search"))
    with monkeypatch.context() as patch:
        kill_in_step(patch, 1)
        assert searched(runs_on_hues(), folder, STOPPED) == straight[1]
    longer = searched(runs_on_hues(), folder, STOPPED + 1)
    assert longer.ended == STOPPED + 1
    assert {trial.number: trial for trial in longer.tried}.items() >= {trial.number: trial for trial in straight[1].tried}.items()


def test_weights_are_kept_of_trial_0_and_of_the_best(straight: tuple[Path, Outcome]) -> None:
    folder, outcome = straight
    kept = {int(file.parent.name) for file in (folder / "trials").glob(f"*/{FILE_NAME}")}
    assert kept == {0, outcome.tried[0].number}
    assert len(list((folder / "trials").iterdir())) == STOPPED


def test_another_seed_proposes_other_trials(straight: tuple[Path, Outcome], tmp_path: Path) -> None:
    study = Study(tmp_path, runs_on_hues().before.recipe, SPACE, SEED + 1)
    study.complete(study.propose(), 0.5, 1.0)
    tried = {trial.number: trial.values for trial in straight[1].tried}
    assert study.propose().values != tried[1]


# --- the folder ---


def test_a_folder_of_other_settings_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    with kept_for(tmp_path, {"seed": 1, "recipe": {"momentum": 0.9}}):
        pass
    refusal = r"begun with recipe.momentum 0.9, and now 0.5; take another --out"
    with pytest.raises(SearchError, match=refusal), kept_for(tmp_path, {"seed": 1, "recipe": {"momentum": 0.5}}):
        pytest.fail("it was taken")


def test_a_folder_has_one_process_at_a_time(tmp_path: Path) -> None:
    with kept_for(tmp_path, {}), pytest.raises(SearchError, match="another process searches in"), kept_for(tmp_path, {}):
        pytest.fail("it was taken")
    with kept_for(tmp_path, {}):
        pass


# --- the command ---


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and a split; those of the novel classes are not there."""
    folder = write_colours(tmp_path_factory.mktemp("data"))
    for name in NOVEL:
        shutil.rmtree(folder / "images" / name)
    return folder


def flags_of(data: Path, out: Path) -> list[str]:
    flags = ["--data", str(data / "images"), "--split", str(data / "split.json"), "--device", "cpu", "--input-size", "16"]
    return [*flags, "--out", str(out), "--set", "widths=4", "--set", "batch_size=32", "--epochs", "1"]


def test_the_command_writes_a_recipe_that_run_takes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "search"
    command = ["search", "quick", *flags_of(data, out), "--trials", "2", "--over", "learning_rate", "--over", "momentum=0.8,0.9"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "searching over learning_rate 0.01..1, momentum 0.8,0.9" in told
    chosen = find_recipe(str(out / "recipe.json"))
    assert (chosen.epochs, chosen.input_size) == (RECIPES["quick"].epochs, 16)
    again = re.search(r"^wrote \S+; next: headstart-train (.+)$", told, re.MULTILINE)
    assert again is not None
    words = shlex.split(again[1])
    words[words.index("--out") + 1] = str(tmp_path / "run")
    assert main([*words, "--device", "cpu", "--epochs", "1"]) == 0
    run = Checkpoint.load(tmp_path / "run")
    assert run.recipe == changed(chosen, {"epochs": 1})
    assert run.info.datasets[0].split.validation == tuple(VALIDATION)
    flags = dict(re.findall(r"--set (\w+)=(\S+)", told))
    assert changed(RECIPES["quick"], {"input_size": 16, "widths": (4,), "batch_size": 32} | flags) == chosen
    assert main([*command, "--seed", "2"]) == 1
    assert "was begun with seed 1, and now 2" in capsys.readouterr().err
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == told.splitlines()[-3:]


def test_without_validation_classes_there_is_nothing_to_choose_by(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"dataset": "colours", "train": BASE, "validation": [], "test": []}))
    flags = [*flags_of(data, tmp_path / "search"), "--split", str(tmp_path / "split.json")]
    flags.remove(str(data / "split.json"))
    flags.remove("--split")
    assert main(["search", "quick", *flags, "--trials", "2"]) == 1
    assert "no dataset has validation classes to choose by" in capsys.readouterr().err
    assert not (tmp_path / "search").exists()
