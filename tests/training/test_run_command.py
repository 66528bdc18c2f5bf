"""`headstart-train run` on people's own images: splits, broken files, several datasets, where weights come from."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from models.backbones.pretrained import load_pretrained
from models.bundle import ONNX, open_bundle
from tests.helpers.cheap_runs import few_episodes, with_the_older_exporter, without_int8
from tests.helpers.trainer_data import BASE, write_colours
from training.__main__ import main
from training.run.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("no_curves")

TINY = ["--device", "cpu", "--epochs", "1", "--set", "batch_size=32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colours(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def teacher(data: Path) -> Path:
    """A finished run with the split file."""
    assert run(data / "teacher", data, "--split", str(data / "split.json"), "--set", "widths=4") == 0
    return data / "teacher"


def run(out: Path, data: Path, *flags: str) -> int:
    return main(["run", "quick", "--data", str(data / "images"), "--out", str(out), *TINY, *flags])


def test_without_a_split_file_classes_are_split_by_the_seed_and_it_says_how(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "run", data, "--seed", "3", "--set", "widths=4", "--input-size", "16") == 0
    assert "split by seed 3: 8 to train on, 5 to choose by, 5 to measure with" in capsys.readouterr().out
    split = json.loads((tmp_path / "run" / "split.json").read_text())
    (dataset,) = Checkpoint.load(tmp_path / "run").info.datasets
    assert list(dataset.split.train) == split["train"]
    assert len({*split["train"], *split["validation"], *split["test"]}) == 18
    assert Checkpoint.load(tmp_path / "run").recipe.input_size == 16
    assert main(["resume", str(tmp_path / "run")]) == 0


def test_broken_files_are_listed_and_skipped_up_to_a_share(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(data / "images", tmp_path / "images")
    (tmp_path / "images" / BASE[0] / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    split = ["--split", str(data / "split.json"), "--set", "widths=4"]
    assert run(tmp_path / "run", tmp_path, *split) == 0
    assert f"skipped {tmp_path}/images/{BASE[0]}/0.png" in capsys.readouterr().err
    assert Checkpoint.load(tmp_path / "run").info.datasets[0].images == 8 * 24 - 1
    assert run(tmp_path / "strict", tmp_path, *split, "--broken-share", "0") == 1
    assert f"{BASE[0]}/0.png" in capsys.readouterr().err
    assert not (tmp_path / "strict").exists()


def test_ten_images_of_each_class_and_a_broken_one_make_a_bundle(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data / "images", tmp_path / "images", ignore=lambda _, names: [name for name in names if name[0] in "2"])
    for folder in (tmp_path / "images").iterdir():
        for i in range(10, 24):
            (folder / f"{i}.png").unlink(missing_ok=True)
    (tmp_path / "images" / "new0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    share = ["--broken-share", "0.05"]
    assert run(tmp_path / "run", tmp_path, "--set", "widths=4", "--seed", "2", *share) == 0
    few_episodes(monkeypatch)
    without_int8(monkeypatch)
    with_the_older_exporter(monkeypatch)
    less = ["--without-torchscript", "--without-float16"]
    assert main(["export", str(tmp_path / "run"), "--name", "few", "--out", str(tmp_path / "bundles"), *less, *share]) == 0
    bundle = tmp_path / "bundles" / "few" / "1"
    assert {file for file in open_bundle(bundle).manifest.files if file.startswith("backbone")} == {ONNX}
    assert {line.queries for line in open_bundle(bundle).manifest.evaluations} == {4}  # 9 images less 5 examples
    split = ["--split", str(tmp_path / "run" / "split.json"), "--queries", "4", "--episodes", "20"]
    assert main(["evaluate", str(bundle), "--data", str(tmp_path / "images"), *split, *share]) == 0


def test_fewer_images_than_a_batch_are_one_batch(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = ["--split", str(data / "split.json"), "--set", "widths=4", "--set", "batch_size=1000"]
    assert run(tmp_path / "run", data, *split) == 0
    assert "batches of 192 images, all there are, instead of 1000" in capsys.readouterr().out
    assert Checkpoint.load(tmp_path / "run").step == 1


def test_a_class_with_too_few_images_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(data / "images", tmp_path / "images")
    for i in range(5, 24):
        (tmp_path / "images" / "val2" / f"{i}.png").unlink()
    assert run(tmp_path / "run", tmp_path, "--split", str(data / "split.json")) == 1
    assert "val2 (5)" in capsys.readouterr().err


def test_two_datasets_each_with_a_split(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(20):
        (tmp_path / "grey" / f"shade{i:02}").mkdir(parents=True)
        for j in range(6):
            Image.new("L", (20, 20), 10 * i + j).save(tmp_path / "grey" / f"shade{i:02}" / f"{j}.png")
    second = ["--data", str(tmp_path / "grey"), "--set", "widths=4", "--set", "balancing=uncertainty"]
    assert run(tmp_path / "run", data, "--split", str(data / "split.json"), *second) == 0
    checkpoint = Checkpoint.load(tmp_path / "run")
    assert [dataset.split.dataset for dataset in checkpoint.info.datasets] == ["colours", "grey"]
    assert {"validation_1-shot_colours", "validation_5-shot_grey"} <= checkpoint.history[0].keys()
    assert (tmp_path / "run" / "split-2.json").exists()
    assert main(["resume", str(tmp_path / "run"), "--data", str(data / "images")]) == 1
    assert "the run has 2 datasets" in capsys.readouterr().err


def test_a_pretrained_network_is_where_training_starts(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = load_pretrained("torchvision:mobilenet_v3_small", "none", 32)
    torch.save(published.network.get_submodule("features").state_dict(), tmp_path / "weights.pt")
    flags = ["--split", str(data / "split.json"), "--init", "torchvision:mobilenet_v3_small", "--input-size", "32"]
    flags += ["--weights", str(tmp_path / "weights.pt"), "--set", "learning_rate=1e-9", "--set", "weight_decay=0"]
    assert run(tmp_path / "run", data, *flags) == 0
    checkpoint = Checkpoint.load(tmp_path / "run")
    assert run(tmp_path / "other", data, *flags, "--set", "network=conv4", "--set", "widths=4") == 1
    assert "does not fit the recipe" in capsys.readouterr().err
    assert checkpoint.recipe.network == "torchvision:mobilenet_v3_small"
    assert checkpoint.info.initial == "torchvision:mobilenet_v3_small (weights.pt)"
    trained = checkpoint.trained_backbone().network.state_dict()
    for name, value in published.network.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(trained[name], value)


def test_a_finished_run_is_where_training_starts(teacher: Path, data: Path, tmp_path: Path) -> None:
    flags = [
        "--split",
        str(data / "split.json"),
        "--init",
        str(teacher),
        "--set",
        "learning_rate=1e-9",
        "--set",
        "weight_decay=0",
    ]
    assert run(tmp_path / "run", data, *flags) == 0
    assert Checkpoint.load(tmp_path / "run").info.inherited == tuple(BASE)
    weight = "backbone.network.blocks.0.weight"
    torch.testing.assert_close(Checkpoint.load(tmp_path / "run").learner[weight], Checkpoint.load(teacher).learner[weight])


def test_classes_to_measure_with_are_trained_on_nowhere(
    teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "run", data, "--init", str(teacher)) == 1  # split by the seed, not as the run before
    assert "are trained on, by another dataset or by the run that --init names: base" in capsys.readouterr().err
    again = ["--split", str(data / "split.json"), "--data", str(data / "images")]
    assert run(tmp_path / "run", data, *again) == 1
    assert "are trained on" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_teacher_must_know_the_classes(teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--set", "widths=4", "--teacher", str(teacher)]
    assert run(tmp_path / "student", data, "--split", str(data / "split.json"), *flags) == 0
    assert Checkpoint.load(tmp_path / "student").info.teacher == str(teacher)
    assert run(tmp_path / "stranger", data, *flags) == 1
    assert "was trained on other classes" in capsys.readouterr().err


def test_resume_finds_a_teacher_that_moved(teacher: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(teacher, tmp_path / "old")
    flags = ["--split", str(data / "split.json"), "--set", "widths=4", "--teacher", str(tmp_path / "old")]
    assert run(tmp_path / "student", data, *flags) == 0
    (tmp_path / "old").rename(tmp_path / "new")
    assert main(["resume", str(tmp_path / "student")]) == 1
    assert "old" in capsys.readouterr().err
    assert main(["resume", str(tmp_path / "student"), "--teacher", str(tmp_path / "new")]) == 0
    assert main(["resume", str(teacher), "--teacher", str(tmp_path / "new")]) == 1
    assert "began without a teacher" in capsys.readouterr().err


def test_two_datasets_of_one_name_are_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "run", data, "--data", str(data / "images")) == 1
    assert "two datasets are called images" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("batch_size=none", "recipe: batch_size"),
        ("colour=red", "a recipe has no colour; it has name,"),
        ("epochs", "--set takes NAME=VALUE"),
        ("network=resnet13", "the recipe's network cannot be built: unknown architecture 'resnet13'"),
        ("balancing=luck", "recipe: balancing"),
    ],
)
def test_a_recipe_cannot_be_made_nonsense(
    change: str, message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "run", data, "--set", change) == 1
    assert message in capsys.readouterr().err
