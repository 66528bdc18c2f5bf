"""The newcomer of docs/laboratory.md, built from the page's own text: one file, one test, and it takes part."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import training.objectives
from benchmarks.laboratory.learners import BaseImages, contestants
from benchmarks.server_process import ROOT
from tests.helpers.images import noise
from tests.helpers.markdown import Document
from training.data.dataset import ImageSet

PAGE = ROOT / "docs" / "laboratory.md"
METHOD, TEST = (block.text for block in Document(PAGE, PAGE.read_text()).blocks() if block.language == "python")


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder with the page's method, as if it were the trainer's."""
    (tmp_path / "newcomer.py").write_text(METHOD)
    (tmp_path / "test_newcomer.py").write_text(TEST)
    monkeypatch.setattr(training.objectives, "__path__", [*training.objectives.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("training.objectives.newcomer", None)


def test_one_file_makes_it_a_contestant(newcomer: Path) -> None:
    labels = np.repeat(np.arange(5), 12)
    images = np.stack([noise(16, 16, seed=i) for i in range(len(labels))])
    base = BaseImages(ImageSet(images, labels, tuple("abcde"), tuple(map(str, labels))), torch.device("cpu"))
    assert (newcomer / "newcomer.py").exists()
    learner = contestants(["cosine-centroids"])["cosine-centroids"].learner(base, 0)
    before = next(learner.backbone.parameters()).clone()
    learner.step(0.5)
    assert not torch.equal(next(learner.backbone.parameters()), before)


def test_its_test_passes_and_can_fail(newcomer: Path) -> None:
    names = {"__name__": "test_newcomer"}
    exec(compile(TEST, "test_newcomer", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 1
    run = tests[0]
    assert callable(run)
    run()
    (newcomer / "newcomer.py").write_text(METHOD.replace("mean(dim=2)", "sum(dim=2).abs()"))
    sys.modules.pop("training.objectives.newcomer")
    importlib.invalidate_caches()
    with pytest.raises(AssertionError):
        run()


def test_it_is_written_as_this_project_writes(newcomer: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        checked = [
            sys.executable,
            "-m",
            "ruff",
            *command,
            "--config",
            str(ROOT / "pyproject.toml"),
            str(newcomer / "newcomer.py"),
        ]
        result = subprocess.run(checked, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout
