"""`headstart-train continue`: a bundle or a run learns new classes, and what it knew is measured before and after."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from models.bundle import open_bundle
from tests.helpers.cheap_runs import few_episodes, with_the_older_exporter, without_int8
from tests.helpers.trainer_data import BASE, NOVEL, VALIDATION, write_colours
from tests.training.test_folded import SIZE, conv4_bundle
from training.__main__ import main
from training.commands.continuing import continued
from training.run.checkpoint import Checkpoint
from training.run.initial import initial_network
from training.run.recipes import RECIPES, RecipeError, changed

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the classes that the backbone was trained on, with their split, and a finished run on them."""
    folder = write_colours(tmp_path_factory.mktemp("old"))
    flags = ["--data", str(folder / "images"), "--split", str(folder / "split.json"), "--input-size", str(SIZE)]
    flags += ["--out", str(folder / "run"), "--device", "cpu", "--epochs", "2", "--set", "widths=8", "--set", "batch_size=32"]
    assert main(["run", "quick", *flags]) == 0
    return folder


@pytest.fixture(scope="module")
def new(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four images each of other classes, in grey."""
    folder = tmp_path_factory.mktemp("new")
    for part in (BASE, VALIDATION, NOVEL):
        for name in part:
            shutil.copytree(old / "images" / name, folder / "images" / f"other-{name}")
    parts = {"train": BASE, "validation": VALIDATION, "test": NOVEL}
    named = {part: [f"other-{name}" for name in names] for part, names in parts.items()}
    (folder / "split.json").write_text(json.dumps({"dataset": "others", **named}))
    return folder


def go_on(source: str | Path, new: Path, out: Path, *flags: str) -> int:
    given = ["--data", str(new / "images"), "--split", str(new / "split.json"), "--out", str(out)]
    return main(["continue", str(source), *given, "--device", "cpu", "--epochs", "1", "--set", "batch_size=32", *flags])


def old_flags(old: Path) -> Sequence[str]:
    return "--old-data", str(old / "images"), "--old-split", str(old / "split.json"), "--old-per-class", "6"


def test_a_run_goes_on_with_new_classes_and_says_what_it_kept(
    old: Path, new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert go_on(old / "run", new, tmp_path / "run", *old_flags(old)) == 0
    told = dict(re.findall(r"^(validation_\S+): (\d.*)$", capsys.readouterr().out, re.MULTILINE))
    assert told.keys() == {f"validation_{shots}-shot_{name}" for shots in (1, 5) for name in ("others", "colours")}
    checkpoint = Checkpoint.load(tmp_path / "run")
    known = Checkpoint.load(old / "run")
    # Before the first step the old classes are recognised as well as at the end of the first run.
    for shots in (1, 5):
        before = checkpoint.info.before[f"validation_{shots}-shot_colours"]
        assert before == known.history[-1][f"validation_{shots}-shot"]
        now = checkpoint.history[-1][f"validation_{shots}-shot_colours"]
        assert told[f"validation_{shots}-shot_colours"] == f"{100 * before:.1f} % before, {100 * now:.1f} % now"
    assert [data.images for data in checkpoint.info.datasets] == [8 * 24, 8 * 6]
    assert set(checkpoint.info.classes) == {*BASE, *(f"other-{name}" for name in BASE)}
    assert checkpoint.info.initial == "run run"
    few_episodes(monkeypatch)
    without_int8(monkeypatch)
    with_the_older_exporter(monkeypatch)
    less = ["--without-torchscript", "--without-float16"]
    assert main(["export", str(tmp_path / "run"), "--name", "both", "--out", str(tmp_path / "bundles"), *less]) == 0
    made = open_bundle(tmp_path / "bundles" / "both" / "1").manifest
    assert {line.dataset for line in made.evaluations} == {"others", "colours"}
    assert main(["resume", str(tmp_path / "run")]) == 0  # finds the same few old images again
    assert f"{told['validation_1-shot_others']}" in capsys.readouterr().out


def test_a_bundle_goes_on_without_old_images(new: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = conv4_bundle(tmp_path / "bundles", tuple(BASE))
    assert go_on(bundle, new, tmp_path / "run", "--set", "rotation=off") == 0
    assert re.search(r"^validation_5-shot: .* before, .* now$", capsys.readouterr().out, re.MULTILINE)
    checkpoint = Checkpoint.load(tmp_path / "run")
    assert checkpoint.info.inherited == tuple(BASE)
    assert go_on(bundle, new, tmp_path / "run") == 1
    assert "holds a run already" in capsys.readouterr().err


def test_embeddings_stay_nearer_the_more_firmly_they_are_held(new: Path, old: Path, tmp_path: Path) -> None:
    start = Checkpoint.load(old / "run").trained_backbone()
    images = torch.rand(32, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    cosines = []
    for keep in ("0", "3"):
        assert go_on(old / "run", new, tmp_path / keep, "--keep", keep, "--epochs", "3") == 0
        with torch.no_grad():
            pair = Checkpoint.load(tmp_path / keep).trained_backbone()(images), start(images)
            cosines.append(float(torch.nn.functional.cosine_similarity(*pair).mean()))
    assert 1.0 - cosines[0] > 2.0 * (1.0 - cosines[1])


def test_classes_that_are_measured_on_must_be_new(
    new: Path, old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swapped = {"dataset": "colours", "train": VALIDATION, "validation": BASE, "test": NOVEL}
    (tmp_path / "split.json").write_text(json.dumps(swapped))
    flags = ["--old-data", str(old / "images"), "--old-split", str(tmp_path / "split.json")]
    assert go_on(old / "run", new, tmp_path / "run", *flags) == 1
    assert "8 validation or test classes of colours are trained on" in capsys.readouterr().err
    assert go_on(old / "run", new, tmp_path / "run", "--old-split", str(tmp_path / "split.json")) == 1
    assert "--old-split was given 1 times, --old-data 0 times" in capsys.readouterr().err


def test_the_recipe_goes_on_more_slowly_where_it_began_from_random_weights() -> None:
    paper, photographs = initial_network("cifar-fs-resnet12@1"), initial_network("photos@1")
    recipe = continued(paper, 0.5)
    assert recipe.learning_rate == pytest.approx(RECIPES["cifar-fs-resnet12-cpu"].learning_rate / 10)
    assert (recipe.anchor_weight, recipe.network, recipe.input_size) == (0.5, "resnet12", 32)
    expected = {"anchor_weight": 2.0, "fixed_statistics": True}
    assert changed(RECIPES["photos-efficientnet-lite0"], expected) == continued(photographs, 2.0)
    with pytest.raises(RecipeError, match="was trained by no recipe of this release"):
        continued(initial_network("efficientnet-lite0"), 1.0)
