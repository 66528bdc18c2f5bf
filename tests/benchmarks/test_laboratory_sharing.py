"""`benchmarks.laboratory sharing` at toy size: contestants learn, a stopped experiment goes on, and its tables add up."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.laboratory import sharing, sharing_learners
from benchmarks.laboratory.__main__ import main
from benchmarks.laboratory.sharing_learners import ALONE, Joint, Tasks, contestants
from benchmarks.laboratory.sharing_report import Measured, Progress, SharingReport
from tests.helpers.laboratory import colours, lines, stopped_after_writing
from training.architectures import Setting
from training.data.dataset import DataError, ImageSet

CPU = torch.device("cpu")
GROUPS = {"first": ["a", "b"], "second": ["c", "d"], "third": ["e", "f"]}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """Classes that differ in colour, the last with more images than the others."""
    monkeypatch.setattr(
        sharing_learners, "Setting", lambda tasks, ways, side: Setting(tasks, ways, side, width=4, blocks=2, hidden=(8,))
    )
    labels = np.repeat(np.arange(6), [12, 12, 12, 12, 12, 30])
    rng = np.random.default_rng(0)
    images = (40 * labels[:, None, None, None] + rng.integers(0, 20, (len(labels), 16, 16, 3))).astype(np.uint8)
    images[..., 1] = 255 - images[..., 0]
    images[..., 2] = 200 * (labels % 2)[:, None, None]
    return Tasks(ImageSet(images, labels, tuple("abcdef"), tuple(map(str, range(len(labels))))), GROUPS, CPU)


def test_the_first_images_of_each_class_are_never_learned_from(tasks: Tasks) -> None:
    starts = np.cumsum([0, 12, 12, 12, 12, 12])
    held_out = {start + offset for start, count in zip(starts, [2, 2, 2, 2, 2, 5], strict=True) for offset in range(count)}
    assert set(torch.cat([own for own, _ in tasks._held_out]).tolist()) == held_out
    learned = set(torch.cat([own for own, _ in tasks._learned]).tolist())
    assert learned == set(range(90)) - held_out


def test_every_held_out_image_counts_once(tasks: Tasks) -> None:
    class Red(torch.nn.Module):
        """Says class 1 for pictures that are redder than a threshold of each task."""

        def forward(self, images_Tn3HW: torch.Tensor) -> torch.Tensor:
            red = (images_Tn3HW.mean(dim=(3, 4)) * tasks._std[:, 0, 0] + tasks._mean[:, 0, 0])[:, :, 0] * 255
            return torch.stack((torch.full_like(red, 70.0), red), dim=2)  # of 0 to 20, 40 to 60, 80 to 100, …

    network: Any = Red()
    assert tasks.accuracy(network) == [0.5, 0.5, pytest.approx(5 / 7)]
    assert tasks.accuracy(network, every=3) == [0.5, 0.5, pytest.approx(2 / 3)]


@pytest.mark.parametrize("name", contestants())
def test_every_contestant_moves_its_network_and_goes_back(name: str, tasks: Tasks) -> None:
    torch.manual_seed(0)
    learner = contestants()[name].learner(tasks, 4, 0)
    assert learner.rehearse(None) > 0
    assert (learner.steps, learner.images) == (0, 0)
    learner.step(0.5)
    assert (learner.steps, learner.images) == (1, 12)
    other = contestants()[name].learner(tasks, 4, 0)
    other.restore(learner.state())
    for mine, its in zip(learner.network.state_dict().values(), other.network.state_dict().values(), strict=True):
        assert torch.equal(mine, its)


def test_a_contestant_learns_the_tasks(tasks: Tasks) -> None:
    torch.manual_seed(0)
    learner = contestants()["shared-trunk"].learner(tasks, 8, 0)
    for _ in range(80):
        learner.step(0.3)
    learner.prepare_evaluation()
    assert np.mean(tasks.accuracy(learner.network)) > 0.9


def test_parameters_are_those_of_use(tasks: Tasks) -> None:
    count = {
        name: contestants()[name].learner(tasks, 2, 0).parameters() for name in ("shared-trunk", ALONE, "knowledge-distillation")
    }
    heads = 3 * (8 * 2 + 2)
    assert count["knowledge-distillation"] == count["shared-trunk"]
    assert count[ALONE] - heads == 3 * (count["shared-trunk"] - heads)


@pytest.mark.parametrize(
    ("groups", "message"),
    [({"x": ["a", "b"], "y": ["c"]}, "equally many"), ({"x": ["a", "b"], "y": ["c", "moon"]}, "no images of moon")],
)
def test_tasks_that_cannot_be_made_are_refused(groups: dict[str, list[str]], message: str) -> None:
    images = ImageSet(np.zeros((9, 8, 8, 3), np.uint8), np.repeat(np.arange(3), 3), tuple("abc"), tuple(map(str, range(9))))
    with pytest.raises(DataError, match=message):
        Tasks(images, groups, CPU)


def test_transfer_is_what_a_task_gains_or_loses(tmp_path: Path) -> None:
    progress = {
        ALONE: Progress(1_000_000, 10, [Measured(2.0, 4, [0.5, 0.9])]),
        "MTAN": Progress(3_000_000, 20, [Measured(2.0, 4, [0.4, 0.2]), Measured(4.0, 8, [0.7, 0.8])]),
    }
    report = SharingReport(tmp_path, {"seed": 1}, ["fish", "trees"], {name: contestants()[name] for name in progress}, progress)
    table = report.table()
    assert "| MTAN | 75.0 | +5.0 | 1 | -10.0 | 20 | 500 | 8 | 3 |" in table
    assert "| MTAN | +20.0 | -10.0 |" in table
    assert f"| {ALONE} | 70.0 |  |  |  | 10 |" in table


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One step of each method in each of two rounds, whatever they last."""
    monkeypatch.setattr(sharing, "turns", lambda budget: [(budget / 2, True), (budget, True)])
    monkeypatch.setattr(Joint, "train_until", _one_step)
    data, _ = colours(tmp_path)
    groups = {"one": ["train0", "train1"], "two": ["test0", "test1"]}
    (tmp_path / "groups.json").write_text(json.dumps({"superclasses": groups}))
    files = ["--data", str(data), "--tasks", str(tmp_path / "groups.json"), "--out", str(tmp_path / "out")]
    return [
        "sharing",
        *files,
        "--device",
        "cpu",
        "--images",
        "2",
        "--minutes",
        "0.01",
        "--methods",
        ALONE,
        "MMoE",
        "shared-trunk+dwa",
    ]


def _one_step(learner: Joint, seconds: float, budget: float) -> None:
    learner.network.train()
    learner.step(seconds / budget)
    learner.seconds = seconds


def test_it_goes_on_where_it_was_stopped(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with stopped_after_writing(SharingReport, monkeypatch):
        main(flags)
    kept = lines(out)
    assert [len(line["curve"]) for line in kept] == [1, 1, 1]
    main(flags)
    for line, before in zip(lines(out), kept, strict=True):
        assert line["curve"][0] == before["curve"][0]
        assert (line["method"], line["steps"], line["peak_bytes"]) == (before["method"], 2, before["peak_bytes"])
        assert len(line["curve"]) == 2
        assert set(line["tasks"]) == {"one", "two"}
        assert (line["transfer"] is None) == (line["method"] == ALONE)
    for plot in ("curves.png", "transfer.png"):
        with Image.open(out / plot) as picture:
            assert picture.format == "PNG"
    assert (out / "table.md").read_text().strip() in capsys.readouterr().out
    with pytest.raises(SystemExit, match="other settings"):
        main([*flags, "--seed", "2"])
