"""The laboratory at toy size: every contestant learns, a stopped experiment goes on, and its files say what happened."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.laboratory import evaluation, learners, meta
from benchmarks.laboratory.__main__ import main
from benchmarks.laboratory.learners import BaseImages, Learner, contestants
from benchmarks.laboratory.memory import peak_memory
from benchmarks.laboratory.record import Curve, Point
from benchmarks.laboratory.report import Report
from benchmarks.laboratory.turns import turns
from tests.helpers.images import noise
from tests.helpers.laboratory import colours, lines, stopped_after_writing
from training.data.dataset import ImageSet
from training.objectives import learned_rule

CPU = torch.device("cpu")


def test_times_are_read_off_a_curve_between_measurements() -> None:
    curve = Curve([Point(10.0 * i, i, i, {1: {"logistic": (a, 0.0)}}) for i, a in enumerate((0.3, 0.5, 0.4, 0.6), start=1)])
    assert curve.seconds_to(0.2, 1) == 10.0
    assert curve.seconds_to(0.4, 1) == pytest.approx(15.0)
    assert curve.seconds_to(0.55, 1) == pytest.approx(37.5)
    assert curve.seconds_to(0.7, 1) is None
    assert curve.best(1).seconds == 40.0


def test_novel_classes_do_not_choose_the_head(tmp_path: Path) -> None:
    scores = {"logistic": (0.5, 0.0), "prototype": (0.4, 0.0)}
    novel = {"logistic": (0.3, 0.0), "prototype": (0.6, 0.0)}
    curve = Curve([Point(1.0, 1, 1, {1: scores, 5: scores})], {1: novel, 5: novel})
    table = Report(tmp_path, {}, contestants(["MTL"]), {"MTL": curve}).table()
    assert "| 30.0 ± 0.0 |" in table
    assert "60.0" not in table


def test_the_table_tells_the_difference_from_what_was_published(tmp_path: Path) -> None:
    scores = {"own": (0.5, 0.01)}
    curve = Curve([Point(9.0, 20, 1800, {1: scores, 5: scores})], {1: scores, 5: scores})
    table = Report(tmp_path, {}, contestants(["ProtoNet"]), {"ProtoNet": curve}).table()
    assert "| 20 | 450 | 200 |" in table  # steps, milliseconds of each, images a second
    assert "| 50.0 ± 1.0 | 55.5 | -5.5 |" in table
    assert "- ProtoNet: Bertinetto" in table


@pytest.mark.parametrize("budget", [1.0, 60.0, 1200.0])
def test_turns_are_short_and_the_last_one_is_measured(budget: float) -> None:
    rounds = list(turns(budget))
    ends = np.array([0.0, *(end for end, _ in rounds)])
    assert (np.diff(ends) > 0).all()
    assert np.diff(ends).max() < 20.001
    assert rounds[-1] == (budget, True)
    assert [end / budget for end, measured in rounds if measured] == pytest.approx([1 / 60, 1 / 20, 3 / 20, 9 / 20, 1])


def test_peak_memory_counts_what_is_held_at_once() -> None:
    def work() -> None:
        for _ in range(5):
            first = torch.zeros(1000, 250)
            second = first + 1
            del first, second

    assert peak_memory(work, CPU) == pytest.approx(2e6, rel=0.01)


@pytest.fixture(scope="module")
def base() -> BaseImages:
    labels = np.repeat(np.arange(6), 16)
    images = np.stack([noise(16, 16, seed=i) for i in range(len(labels))])
    return BaseImages(ImageSet(images, labels, tuple("abcdef"), tuple(map(str, labels))), CPU)


@pytest.mark.parametrize("name", contestants())
def test_every_method_moves_its_network_and_goes_back(name: str, base: BaseImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned_rule, "_STATE", 2)  # of 20, for each of a hundred thousand weights
    torch.manual_seed(0)
    learner = contestants()[name].learner(base, 0)
    before = [parameter.clone() for parameter in learner.backbone.parameters()]
    learner.step(0.5)
    assert (learner.steps, learner.images > 0) == (1, True)
    for parameter, was in zip(learner.backbone.parameters(), before, strict=True):
        assert torch.isfinite(parameter).all()
        assert not torch.equal(parameter, was)
    other = contestants()[name].learner(base, 0)
    other.restore(deepcopy(learner.state()))
    for one in (learner, other):
        torch.manual_seed(1)
        one.step(0.6)
    assert (other.steps, other.images) == (learner.steps, learner.images)
    for mine, its in zip(learner.backbone.parameters(), other.backbone.parameters(), strict=True):
        torch.testing.assert_close(mine, its)


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two steps of each method, whatever they last."""
    for constant in ("_EPISODES", "_OWN_EPISODES", "_NOVEL_EPISODES", "_NOVEL_OWN_EPISODES"):
        monkeypatch.setattr(meta, constant, 2)
    monkeypatch.setattr(learners, "_STATISTICS_IMAGES", 16)
    monkeypatch.setattr(meta, "turns", lambda budget: [(budget / 2, True), (budget, True)])
    monkeypatch.setattr(Learner, "train_until", _one_step)
    data, split = colours(tmp_path)
    return ["meta", "--data", str(data), "--split", str(split), "--device", "cpu", "--out", str(tmp_path / "out")]


def _one_step(learner: Learner, seconds: float, budget: float) -> None:
    learner.backbone.train()
    learner.step(seconds / budget)
    learner.seconds = seconds


def test_it_goes_on_where_it_was_stopped(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, run = tmp_path / "out", [*flags, "--minutes", "0.01", "--methods", "MTL", "ProtoNet"]
    with stopped_after_writing(Report, monkeypatch):
        main(run)
    kept = lines(out)
    assert [(line["method"], len(line["curve"]), line["shots"]["5"]["novel"]) for line in kept] == [
        ("MTL", 1, None),
        ("ProtoNet", 1, None),
    ]
    main(run)
    for line, before in zip(lines(out), kept, strict=True):
        assert line["curve"][0] == before["curve"][0]
        assert line["peak_bytes"] == before["peak_bytes"] > 1e5
        assert [(point["seconds"], point["steps"]) for point in line["curve"]] == [(0.3, 1), (0.6, 2)]
        heads = {*evaluation.HEADS} | ({evaluation.OWN} if line["method"] != "MTL" else set())
        for point in line["curve"]:
            assert {shots: set(found) for shots, found in point["scores"].items()} == {"1": heads, "5": heads}
        assert 0 <= line["shots"]["5"]["novel"][0] <= 1
    for plot in ("curves.png", "memory.png"):
        with Image.open(out / plot) as picture:
            assert picture.format == "PNG"
    table = (out / "table.md").read_text().strip()
    assert table in capsys.readouterr().out
    assert table.count("| ProtoNet |") == 2

    finished = lines(out)
    main(run)
    assert lines(out) == finished
    with pytest.raises(SystemExit, match="other settings"):
        main([*run, "--seed", "2"])


def test_training_lasts_as_long_as_it_should(base: BaseImages) -> None:
    learner = contestants()["MTL"].learner(base, 0)
    learner.train_until(0.05, 1.0)
    assert learner.seconds >= 0.05
    assert learner.steps > 0
