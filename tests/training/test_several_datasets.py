"""A run trained on several datasets becomes a bundle of all of them; one that was not trained on is measured with."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.backbones import PixelBackbone
from models.bundle import CARD, ONNX, open_bundle
from models.engine import embed_all, open_engine
from tests.helpers.cheap_runs import few_episodes, with_the_older_exporter, without_int8
from tests.helpers.trainer_data import BASE, NOVEL, VALIDATION, write_colours
from training.__main__ import main
from training.data.loading import load_images
from training.evaluation.episodes import Embedded
from training.export.candidate import Eager
from training.export.within_class import within_class_projection
from training.run.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("no_curves")

FIRST, SECOND = BASE[:6], BASE[6:]


def write_split(
    folder: Path, dataset: str, train: Sequence[str] = (), validation: Sequence[str] = (), test: Sequence[str] = ()
) -> Path:
    file = folder / f"{dataset}.json"
    file.write_text(json.dumps({"dataset": dataset, "train": train, "validation": validation, "test": test}))
    return file


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and splits: all parts; base and validation classes; novel classes only; too few of anything."""
    folder = write_colours(tmp_path_factory.mktemp("data"))
    write_split(folder, "whole", FIRST, VALIDATION, NOVEL)
    write_split(folder, "half", SECOND, VALIDATION)
    write_split(folder, "novel", test=NOVEL)
    write_split(folder, "few", validation=VALIDATION[:4], test=NOVEL[:3])
    return folder


@pytest.fixture(scope="module")
def exported(data: Path) -> Path:
    images = str(data / "images")
    both = [flag for name in ("whole", "half") for flag in ("--data", images, "--split", str(data / f"{name}.json"))]
    others = [flag for name in ("novel", "few") for flag in ("--also", images, "--split", str(data / f"{name}.json"))]
    assert (
        main(["run", "quick", *both, "--epochs", "1", "--set", "widths=4", "--set", "projection=3", "--out", str(data / "run")])
        == 0
    )
    with pytest.MonkeyPatch.context() as patch:
        few_episodes(patch)
        without_int8(patch)
        with_the_older_exporter(patch)
        assert main(["export", str(data / "run"), *others, "--name", "both", "--out", str(data / "bundles")]) == 0
    return data / "bundles" / "both" / "1"


def test_every_part_that_a_dataset_has_is_measured_under_its_name(exported: Path) -> None:
    manifest = open_bundle(exported).manifest
    measured = {(e.dataset, e.part) for e in manifest.evaluations if e.file == ONNX}
    assert measured == {("whole", "validation"), ("whole", "test"), ("half", "validation"), ("novel", "test")}
    assert manifest.training.dataset == "whole + half"
    assert "| half | validation |" in (exported / CARD).read_text()


def test_statistics_are_of_the_base_images_of_every_dataset_evenly(exported: Path, data: Path) -> None:
    bundle = open_bundle(exported)
    engine = open_engine(bundle, "onnx")
    base = [load_images([data / "images"], names, bundle.manifest.input).images for names in (FIRST, SECOND)]
    means = [embed_all(engine, images).mean(axis=0) for images in base]
    np.testing.assert_allclose(bundle.feature_mean, (means[0] + means[1]) / 2, atol=1e-5)
    assert len(bundle.background) == sum(map(len, base))  # of so few, all


def test_a_projection_is_fitted_on_the_base_classes_and_ends_the_network(exported: Path, data: Path) -> None:
    bundle = open_bundle(exported)
    eager = Eager(PixelBackbone(Checkpoint.load(data / "run").trained_backbone()))
    parts = []
    for names in (FIRST, SECOND):
        images = load_images([data / "images"], names, bundle.manifest.input)
        some = [own[:20] for own in images.indices_by_class()]
        ends = np.cumsum([len(own) for own in some])
        pixels = images.images[np.concatenate(some)]
        parts.append(Embedded(eager.embed(pixels), np.split(np.arange(len(pixels)), ends[:-1])))
    wanted = eager.embed(pixels) @ within_class_projection(parts, 3)
    assert bundle.manifest.embedding_dim == 3
    np.testing.assert_allclose(embed_all(open_engine(bundle, "onnx"), pixels), wanted, rtol=1e-3, atol=1e-4)


def test_calibrating_on_several_datasets_measures_them_all(
    exported: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few_episodes(monkeypatch)
    before = open_bundle(exported).manifest
    one, novel = (["--data", str(data / "images"), "--split", str(data / f"{name}.json")] for name in ("whole", "novel"))
    assert main(["calibrate", str(exported), *one, *novel, "--episodes", "20"]) == 0
    after = open_bundle(exported).manifest
    assert {(e.dataset, e.part) for e in after.evaluations} == {("whole", "validation"), ("whole", "test"), ("novel", "test")}
    assert {name for name, entry in after.files.items() if entry != before.files[name]} <= {CARD}
    capsys.readouterr()
    assert main(["calibrate", str(exported), *novel, "--episodes", "20"]) == 1
    assert "none of the datasets has enough validation classes" in capsys.readouterr().err
    assert main(["calibrate", str(exported), *one, *novel[:2], "--episodes", "20"]) == 1
    assert "--split was given 1 times, --data 2 times" in capsys.readouterr().err
    assert main(["calibrate", str(exported), *one, *one, "--episodes", "20"]) == 1
    assert "two datasets are called whole" in capsys.readouterr().err


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize(
    ("flags", "text"),
    [(["--data", "images"], "the run has 2 datasets; --data was given 1 times"), (["--also", "images"], "--split was given 0")],
)
def test_datasets_that_do_not_match_the_run_are_refused(
    data: Path, flags: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(data / "run"), *flags, "--name", "other", "--out", str(data / "bundles")]) == 1
    assert text in capsys.readouterr().err
