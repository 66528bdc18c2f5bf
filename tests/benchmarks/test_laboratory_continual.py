"""The experiment on continual learning at toy size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.laboratory import continual, continual_tasks
from benchmarks.laboratory.__main__ import main
from benchmarks.laboratory.continual_report import Record, Result, interval, table
from benchmarks.laboratory.continual_tasks import Task, divide
from tests.helpers.images import noise
from tests.helpers.laboratory import colours, lines
from training.continual.registry import METHODS
from training.data.dataset import DataError, ImageSet


class Stopped(Exception):
    """In place of Ctrl-C, which would end all tests where it is not expected."""


def test_forgetting_is_the_best_less_the_last() -> None:
    record = Record()
    for row in ([0.8], [0.9, 0.7], [0.5, 0.4, 0.6]):
        record.add(row, 1, 1.0, 0)
    assert record.average() == pytest.approx(0.5)
    assert record.when_learned() == pytest.approx(0.7)
    assert record.forgetting() == pytest.approx((0.4 + 0.3) / 2)


def test_the_interval_of_the_mean_over_seeds_is_student_s() -> None:
    mean, margin = interval([0.5, 0.6, 0.7])
    assert mean == pytest.approx(0.6)
    assert margin == pytest.approx(4.302653 * 0.1 / 3**0.5)  # the 97.5 % quantile with two degrees of freedom, from a table


def test_a_seed_that_is_under_way_is_in_no_mean() -> None:
    result = Result({"λ 1": 0.3, "λ 4": 0.5, "λ 16": 0.4})
    for seed, rows in ((1, ([0.4], [0.2, 0.4])), (2, ([0.6], [0.4, 0.6])), (3, ([0.9],))):
        result.records[seed] = Record()
        for row in rows:
            result.records[seed].add(list(row), 5, 2.0, 10**6)
    last = table({}, {"LwF": result}).splitlines()[-1]
    assert last == "| LwF | λ 4 | 2 | 40.0 ± 127.1 |  | 50.0 ± 127.1 | 20.0 ± 0.0 | 10 | 4 | 1.0 |"


def test_methods_are_held_against_the_frozen_backbone_on_the_same_seeds() -> None:
    results = {"EWC": Result(), "frozen backbone": Result()}
    for name, accuracies in {"EWC": {1: 0.4, 2: 0.55}, "frozen backbone": {1: 0.5, 2: 0.6, 3: 0.9}}.items():
        for seed, accuracy in accuracies.items():
            results[name].records[seed] = Record([[accuracy]], [5], [2.0], [0])
    mean, margin = interval([0.1, 0.05])
    assert f"| {100 * mean:.1f} ± {100 * margin:.1f} |" in table({}, results).splitlines()[-2]


def images_of_six_classes() -> ImageSet:
    pixels = np.stack([noise(4, 4, seed=i) for i in range(72)])
    return ImageSet(pixels, np.repeat(np.arange(6), 12), tuple("abcdef"), tuple(map(str, range(72))))


def seen(tasks: list[Task], *parts: str) -> list[bytes]:
    return [image.numpy().tobytes() for task in tasks for part in parts for image in getattr(task, part)]


def test_tasks_share_no_class_and_no_image_is_measured_on_that_was_learned_from() -> None:
    tasks = divide(images_of_six_classes(), 3, 1, torch.device("cpu"))
    everything = seen(tasks, "pixels", "held_out")
    assert len(set(everything)) == len(everything) == 72
    assert [(task.classes, len(task.labels), len(task.held_out_labels)) for task in tasks] == [(2, 20, 4)] * 3
    with pytest.raises(DataError, match="6 classes cannot be divided into 4 tasks"):
        divide(images_of_six_classes(), 4, 1, torch.device("cpu"))


def test_nothing_that_is_measured_with_takes_part_in_the_search() -> None:
    measured, searched = (divide(images_of_six_classes(), 3, 1, torch.device("cpu"), searching) for searching in (False, True))
    assert set(seen(measured, "pixels")) == set(seen(searched, "pixels", "held_out"))
    assert not set(seen(searched, "pixels")) & set(seen(searched, "held_out"))
    assert set(seen(measured[:1], "pixels")) != set(seen(searched[:1], "pixels", "held_out"))


def test_it_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, _ = colours(tmp_path)
    out = tmp_path / "out"
    flags = ["continual", "--data", str(data), "--out", str(out), "--device", "cpu", "--tasks", "3", "--width", "4"]
    flags += ["--minutes", "0.0005"]
    learn, learned = continual.learn, list[str]()

    def stopped_after(more: int) -> None:
        """Runs the command until it has learned so many tasks more."""
        allowed = len(learned) + more

        def counted(learner: Any, task: Any, seconds: float) -> int:
            if len(learned) == allowed:
                raise Stopped
            learned.append(type(learner).__name__)
            return learn(learner, task, seconds)

        monkeypatch.setattr(continual, "learn", counted)
        main([*flags, "--seeds", "1"])

    monkeypatch.setattr(continual, "_SEARCHED", 1)
    monkeypatch.setattr(continual_tasks, "_HELD_OUT", 2)  # so that there is less to learn from
    begun = len(METHODS["EWC"].candidates) - 1
    searched = sum(len(method.candidates) for method in METHODS.values())
    with pytest.raises(Stopped):
        stopped_after(begun)  # in the search for EWC, one candidate short
    with pytest.raises(Stopped):
        stopped_after(searched - begun + len(METHODS) + 2)  # after the searches, in the methods' second task
    stopped_after(2 * len(METHODS) - 2)
    first = lines(out)
    monkeypatch.setattr(continual, "learn", learn)
    main([*flags, "--seeds", "2"])
    found = lines(out)
    assert [line["method"] for line in found] == list(METHODS)
    for before, line in zip(first, found, strict=True):
        assert line["records"][0] == before["records"][0]
        assert len(before["records"]) == 1
        assert [[len(row) for row in record["accuracy"]] for record in line["records"]] == [[1, 2, 3]] * 2
    by_method = {line["method"]: line for line in found}
    assert {name: list(line["searched"]) for name, line in by_method.items()} == {
        name: list(method.candidates) for name, method in METHODS.items()
    }
    for line in found:
        assert line["searched"].get(line["chosen"], 0.0) == max(line["searched"].values(), default=0.0)
    kept = {name: line["records"][1]["remembered"][-1] for name, line in by_method.items()}
    assert kept["fine-tuning"] == kept["LwF"] == kept["frozen backbone"] == 0 < kept["EWC"]
    assert by_method["frozen backbone"]["forgetting"] == [0.0, 0.0]
    assert "| EWC |" in capsys.readouterr().out
    assert (out / "forgetting.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit, match="other settings"):
        main([*flags, "--seed", "2"])


def test_what_the_search_chose_is_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = colours(tmp_path)
    monkeypatch.setattr(continual, "try_out", lambda build, *_: [float(build.keywords["strength"] in (4.0, 40.0))])
    flags = ["--tasks", "3", "--width", "4", "--seeds", "1", "--minutes", "0.0005", "--methods", "EWC", "LwF"]
    main(["continual", "--data", str(data), "--out", str(tmp_path / "out"), "--device", "cpu", *flags])
    for line in lines(tmp_path / "out"):
        _, learner = torch.load(tmp_path / "out" / "kept" / f"{line['method']}-1.pt", weights_only=False)
        assert line["chosen"] == {"EWC": "λ 40", "LwF": "λ 4"}[line["method"]]
        assert f"λ {vars(learner)['_strength']:g}" == line["chosen"]
