"""The script that makes our row of the paper's table, at toy size."""

import json
from pathlib import Path

import pytest

from benchmarks import paper_table
from tests.helpers.cheap_runs import few_episodes, with_the_older_exporter, without_curves, without_int8
from tests.helpers.toy_table import TOY, write_pictures
from training.run.checkpoint import Checkpoint


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "data")
    return tmp_path / "data"


def cheaply(patch: pytest.MonkeyPatch) -> None:
    few_episodes(patch)
    without_curves(patch)
    without_int8(patch)
    with_the_older_exporter(patch)


def test_generations_are_trained_exported_and_tabled_and_a_second_start_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cheaply(monkeypatch)
    out = tmp_path / "out"
    command = ["--data", str(data), "--out", str(out), "--splits", "fc100"]
    command += [part for change in TOY for part in ("--set", change)]
    assert paper_table.main([*command, "--generations", "1"]) == 0
    first = (out / "fc100-generation-0" / "checkpoint.pt").stat().st_mtime_ns
    assert paper_table.main([*command, "--generations", "2"]) == 0
    assert (out / "fc100-generation-0" / "checkpoint.pt").stat().st_mtime_ns == first
    assert Checkpoint.load(out / "fc100-generation-1").info.teacher == str(out / "fc100-generation-0")

    rows = json.loads((out / "table.json").read_text())
    assert [row["bundle"] for row in rows] == ["fc100-resnet12@0", "fc100-resnet12@1"]
    assert all(row["1-shot"]["part"] == "test" and row["1-shot"]["episodes"] == 20 for row in rows)
    table = capsys.readouterr().out
    accuracy = f"{100 * rows[1]['5-shot']['accuracy']:.2f} ± {100 * rows[1]['5-shot']['ci95']:.2f}"
    assert "| MTL (Wang et al., ICML 2021) | 69.5 | 84.1 | 42.4 | 57.7 |" in table
    assert f"ours, fc100-resnet12@1 |  |  | {100 * rows[1]['1-shot']['accuracy']:.2f} ±" in table
    assert accuracy in table


def test_two_cores_have_recipes_of_their_own(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cheaply(monkeypatch)
    command = ["--cpu", "--data", str(data), "--out", str(tmp_path / "out"), "--splits", "fc100", "--generations", "1"]
    assert paper_table.main([*command, *(part for change in TOY for part in ("--set", change))]) == 0
    assert [row["bundle"] for row in json.loads((tmp_path / "out" / "table.json").read_text())] == ["fc100-resnet12-cpu@0"]


def test_a_step_that_fails_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper_table.main(["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
    assert "nowhere" in capsys.readouterr().err
