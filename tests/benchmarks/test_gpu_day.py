"""The command for a day with a GPU, at toy size on the CPU: what it brings home, and how it goes on from that."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_day
from benchmarks.shared.pieces import join_pieces, write_pieces
from tests.helpers.toy_table import TOY, write_pictures

_RUN = "fc100-generation-0"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(gpu_day, "_MEASURED", ())  # On a CPU they take minutes.
    monkeypatch.setattr(gpu_day, "_LOOKS_SECONDS", 0.2)
    write_pictures(tmp_path / "data")
    fixed = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "home"), "--work", str(tmp_path / "work")]
    fixed += ["--device", "cpu", "--splits", "fc100", "--generations", "1"]
    return fixed + [part for change in TOY for part in ("--set", change)]


def results(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "home" / "results.json").read_text())
    return found


def test_a_day_that_is_cut_off_leaves_a_checkpoint(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "work" / "fc100" / _RUN / "checkpoint.pt"
    monkeypatch.setattr(gpu_day, "monotonic", lambda: 1e9 if checkpoint.exists() else 0.0)
    assert gpu_day.main([*command, "--set", "epochs=1000000"]) == 0
    assert "fc100: it goes on the next time" in capfd.readouterr().out
    found = results(tmp_path)
    assert "table" not in found["fc100"]
    entry = found["fc100"]["checkpoints"][_RUN]
    again = tmp_path / "again.pt"
    assert join_pieces(tmp_path / "home", entry["name"], entry["pieces"], again)
    assert {path.name.rpartition(".")[0] for path in (tmp_path / "home").glob("*.[0-9]*")} == {entry["name"]}
    assert again.read_bytes() == checkpoint.read_bytes()

    # With no time left, nothing is begun, and what was found stays.
    before = (tmp_path / "home" / "results.json").read_bytes()
    shutil.rmtree(tmp_path / "work")
    assert gpu_day.main([*command, "--minutes", "0"]) == 0
    assert "no time is left for fc100" in capfd.readouterr().out
    assert (tmp_path / "home" / "results.json").read_bytes() == before


@pytest.mark.slow
def test_a_day_with_time_enough_fills_the_table_and_a_second_one_has_nothing_to_do(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_day, "_MEASURED", ("gpu_answers",))
    assert gpu_day.main(command) == 0
    found = results(tmp_path)
    assert {row["difference"] is None or row["difference"] <= row["limit"] for row in found["gpu_answers"]["figures"]} == {True}
    (row,) = found["fc100"]["table"]
    assert row["bundle"] == "fc100-resnet12@0"
    checkpoint = tmp_path / "work" / "fc100" / _RUN / "checkpoint.pt"
    changed = checkpoint.stat().st_mtime_ns
    assert gpu_day.main(command) == 0
    assert checkpoint.stat().st_mtime_ns == changed
    assert results(tmp_path)["gpu_answers"] == found["gpu_answers"]


def test_pieces_come_together_or_not_at_all(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(bytes(range(256)) * 10)
    digests = write_pieces(source, tmp_path, "run", size=1000)
    assert sorted(path.name for path in tmp_path.glob("run.*")) == ["run.000", "run.001", "run.002"]
    assert join_pieces(tmp_path, "run", digests, target)
    assert target.read_bytes() == source.read_bytes()
    source.write_bytes(source.read_bytes() + b"more")
    assert write_pieces(source, tmp_path, "run", size=1000)[:2] == digests[:2]
    target.unlink()
    assert not join_pieces(tmp_path, "run", digests, target)  # The list is of before.
    (tmp_path / "run.001").unlink()
    assert not join_pieces(tmp_path, "run", digests, target)
    assert not target.exists()
