"""The experiments on transfer and on shift at toy size."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from benchmarks.laboratory import shift, transfer
from benchmarks.laboratory.__main__ import main
from benchmarks.laboratory.cells import Cells, TimeOver
from benchmarks.laboratory.domain_bench import Bench
from benchmarks.laboratory.domain_report import Results
from models.bundle import PAPER_BUNDLE
from tests.helpers.domains import write_domain
from tests.helpers.training_runs import BASE, recipe, started
from training.adaptation.method import FromImages, FromLabels
from training.adaptation.registry import FROM_IMAGES, FROM_LABELS
from training.adaptation.top_layers import TopLayers
from training.data.dataset import ImageSet

SIZE = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds of photographs with novel classes, one of them with validation classes too, and a run of one epoch."""
    folder = tmp_path_factory.mktemp("photographs")
    write_domain(folder, "trashnet", seed=1, each=12)
    write_domain(folder, "flowers", seed=2, classes=12, each=12)
    file = folder / "splits" / "photos-flowers.json"
    split = json.loads(file.read_text())
    names = split["test"]
    file.write_text(json.dumps({**split, "test": names[:6], "validation": names[6:]}))
    (folder / "run").mkdir()
    made = started(recipe(epochs=1), BASE)
    made.learner, made.history = made.new_learner().state_dict(), [{}]
    made.save(folder / "run")
    return folder


def flags(experiment: str, data: Path, out: Path, *more: str) -> list[str]:
    given = [experiment, "--data", str(data), "--out", str(out), "--device", "cpu", "--domains", "trashnet", "flowers"]
    return [*given, "--episodes", "1", "--input-size", str(SIZE), "--network", str(data / "run"), *more]


def lines(out: Path) -> dict[str, dict[str, Any]]:
    return {line["method"]: line for line in map(json.loads, (out / "results.jsonl").read_text().splitlines())}


def test_transfer_chooses_on_validation_classes_and_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {"rate 0.001, steps 1": TopLayers(1, 0.001, 1), "rate 0.01, steps 1": TopLayers(1, 0.01, 1)}
    monkeypatch.setitem(FROM_LABELS, "top layer", FromLabels("top layer", "", few))
    out = tmp_path / "out"
    run = flags("transfer", data, out, "--methods", "last layer", "top layer")
    main([*run, "--minutes", "-1"])
    assert "-1 minutes are over; the same command goes on" in capsys.readouterr().out
    assert not lines(out)
    main([*run, "--minutes", "5"])
    found = lines(out)
    assert found.keys() == {"last layer", "top layer"}
    for line in found.values():
        assert line["accuracy"]["mean"].keys() == {"1", "5", "all"}  # twelve images are too few for 20 shots
        assert line["accuracy"].keys() == {"trashnet", "flowers", "mean"}
        assert line["chosen"].keys() == {"1", "5", "all"}
    kept = [json.loads(line)["key"] for line in (out / "cells.jsonl").read_text().splitlines()]
    assert {key[3] for key in kept if key[2] == "validation"} == {"flowers"}
    assert len(kept) == 3 * (4 + 2 + 2 + 2)  # shots: candidates of each method on validation, then both domains
    monkeypatch.setattr(Bench, "accuracies", _nothing)
    main([*run, "--minutes", "5"])
    assert "| trashnet | last layer |" in capsys.readouterr().out


def _nothing(*_arguments: object) -> list[float]:
    raise AssertionError("it was measured a second time")


def test_shift_measures_each_way_and_refuses_folded_statistics(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: next(iter(entry.candidates.items())) for name, entry in FROM_IMAGES.items()}
    entries = {name: FromImages(name, "", dict([pair])) for name, pair in few.items()}
    monkeypatch.setattr(shift, "FROM_IMAGES", entries)
    run = flags("shift", data, tmp_path / "out", "--minutes", "5")
    main(run)
    found = lines(tmp_path / "out")
    assert found.keys() == {"as it was", "batch statistics", "Tent"}
    assert all(line["accuracy"]["mean"].keys() == {"none", "sketch", "blur", "noise"} for line in found.values())
    with pytest.raises(SystemExit, match="its export folded them into the weights"):
        main([*run, "--network", PAPER_BUNDLE])
    assert (tmp_path / "out" / "shift.png").read_bytes().startswith(b"\x89PNG")


def test_all_is_no_number_that_is_there_already() -> None:
    def images(each: int) -> ImageSet:
        labels = np.repeat(np.arange(5), each)
        return ImageSet(np.zeros((len(labels), 1, 1, 3), np.uint8), labels, tuple("abcde"), tuple(map(str, labels)))

    counts = {each: [transfer.shots_of(images(each), name) for name in ("1", "5", "20", "all")] for each in (10, 12, 25, 80)}
    assert counts == {10: [1, 5, None, None], 12: [1, 5, None, 7], 25: [1, 5, 20, None], 80: [1, 5, 20, 75]}


def test_the_blur_is_scipys_and_the_sketch_is_white_where_nothing_changes() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(size=(2, 3, 50, 50)).astype(np.float32)
    images = torch.from_numpy(pixels)
    blurred = ndimage.gaussian_filter(pixels, (0, 0, 1.0, 1.0), mode="nearest", truncate=3.0)
    np.testing.assert_allclose(shift.blur(images).numpy(), blurred, atol=1e-5)
    grey = np.tensordot(pixels, shift._GREY, axes=(1, 0))
    slopes = [np.stack([ndimage.sobel(each, axis, mode="nearest") / 8.0 for each in grey]) for axis in (0, 1)]
    expected = np.clip(1.0 - 3.0 * np.hypot(*slopes), 0.0, 1.0)
    np.testing.assert_allclose(shift.sketch(images)[:, 0].numpy(), expected, atol=1e-5)
    assert bool((shift.sketch(torch.full((1, 3, 8, 8), 0.3)) == 1.0).all())
    torch.manual_seed(0)
    difference = shift.noise(torch.full((1, 3, 64, 64), 0.5)) - 0.5
    assert float(difference.std()) == pytest.approx(0.2, rel=0.05)


def test_a_mean_is_told_only_where_every_domain_is_there() -> None:
    results = Results("transfer", {}, "one")
    results.add("one", "a", "1", [0.5, 0.7], "x")
    results.add("one", "b", "1", [0.9, 0.9], "x")
    results.add("two", "a", "1", [0.5, 0.5], "y")
    assert results.cell("one", "mean", "1") == pytest.approx((0.75, 1.96 * 0.1 / 2))
    assert results.cell("two", "mean", "1") is None


def test_a_gain_is_over_the_same_episodes_of_every_domain() -> None:
    results = Results("transfer", {}, "one")
    accuracies = {"one": {"a": [0.5, 0.7], "b": [0.9, 0.9]}, "two": {"a": [0.6, 0.9], "b": [0.9, 0.8]}}
    for method, domain in (("one", "a"), ("one", "b"), ("two", "a")):
        results.add(method, domain, "1", accuracies[method][domain], "x")
    assert results.gain("two", "1") is None
    results.add("two", "b", "1", accuracies["two"]["b"], "x")
    paired = [stats.ttest_rel(accuracies["two"][domain], accuracies["one"][domain]) for domain in "ab"]
    errors = [gain / test.statistic for gain, test in zip((0.15, -0.05), paired, strict=True)]
    assert results.gain("two", "1") == pytest.approx((0.05, 1.96 * np.hypot(*errors) / 2))


def test_a_line_that_was_cut_is_measured_again(tmp_path: Path) -> None:
    Cells(tmp_path, {}, 5).get(("a",), lambda: [0.5])
    with (tmp_path / "cells.jsonl").open("a") as file:
        file.write('{"key": ["b"], "val')
    again = Cells(tmp_path, {}, 5)
    assert again.get(("a",), lambda: [0.9]) == [0.5]
    assert again.get(("b",), lambda: [0.2]) == [0.2]
    assert Cells(tmp_path, {}, 5).get(("b",), lambda: [0.9]) == [0.2]
    with pytest.raises(TimeOver):
        Cells(tmp_path, {}, -1).get(("c",), lambda: [0.1])
