"""The experiment on continual learning at toy size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.laboratory import continual
from benchmarks.laboratory.__main__ import main
from benchmarks.laboratory.continual_report import Record
from tests.helpers.images import noise
from tests.helpers.laboratory import colours, lines
from training.continual.registry import METHODS
from training.data.dataset import DataError, ImageSet


def test_forgetting_is_the_best_less_the_last() -> None:
    record = Record()
    for row in ([0.8], [0.9, 0.7], [0.5, 0.4, 0.6]):
        record.add(row, 1, 1.0, 0)
    assert record.average() == pytest.approx(0.5)
    assert record.when_learned() == pytest.approx(0.7)
    assert record.forgetting() == pytest.approx((0.4 + 0.3) / 2)


def test_tasks_share_no_class_and_no_image_is_measured_on_that_was_learned_from() -> None:
    labels = np.repeat(np.arange(6), 12)
    pixels = np.stack([noise(4, 4, seed=i) for i in range(72)])
    tasks = continual.divide(ImageSet(pixels, labels, tuple("abcdef"), tuple(map(str, range(72)))), 3, 1, torch.device("cpu"))
    seen = [bytes(image.numpy().tobytes()) for task in tasks for part in (task.pixels, task.held_out) for image in part]
    assert len(set(seen)) == len(seen) == 72
    assert [(task.classes, len(task.labels), len(task.held_out_labels)) for task in tasks] == [(2, 20, 4)] * 3
    with pytest.raises(DataError, match="6 classes cannot be divided into 4 tasks"):
        continual.divide(ImageSet(pixels, labels, tuple("abcdef"), tuple(map(str, range(72)))), 4, 1, torch.device("cpu"))


def test_it_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = colours(tmp_path)
    out = tmp_path / "out"
    flags = ["continual", "--data", str(data), "--out", str(out), "--device", "cpu", "--tasks", "3", "--width", "4"]
    flags += ["--minutes", "0.0005"]
    learn, learned = continual.learn, list[str]()

    def stopped(learner: Any, task: Any, seconds: float) -> int:
        if len(learned) == 8:
            raise KeyboardInterrupt
        learned.append(type(learner).__name__)
        return learn(learner, task, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(continual, "learn", stopped)
        with pytest.raises(KeyboardInterrupt):
            main(flags)
    main(flags)
    found = lines(out)
    assert [line["method"] for line in found] == list(METHODS)
    assert all([len(row) for row in line["accuracy"]] == [1, 2, 3] for line in found)
    kept = {line["method"]: line["remembered"][-1] for line in found}
    assert kept["fine-tuning"] == kept["LwF"] == kept["frozen backbone"] == 0 < kept["EWC"]
    assert {line["method"]: line["forgetting"] for line in found}["frozen backbone"] == 0.0
    assert "| EWC |" in capsys.readouterr().out
    assert (out / "forgetting.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match="other settings"):
        main([*flags, "--seed", "2"])
