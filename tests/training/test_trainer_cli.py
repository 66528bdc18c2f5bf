"""`headstart-train` from images to a bundle that serves: run, resume, export, evaluate, calibrate, inspect."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from models.backbones import PixelBackbone
from models.bundle import MANIFEST, ONNX, ONNX_FP16, ONNX_INT8, TORCHSCRIPT, open_bundle, replace_manifest
from models.engine import open_engine
from models.processor import has_int8_instructions
from tests.helpers.cheap_runs import converted, few_episodes
from tests.helpers.trainer_data import BASE, NOVEL, VALIDATION, write_colours
from training.__main__ import main
from training.export import candidate
from training.run.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with class folders of coloured noise, and a split file beside them."""
    return write_colours(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    """A finished run."""
    flags = ["--data", str(data / "images"), "--split", str(data / "split.json"), "--epochs", "2", "--set", "widths=16"]
    assert main(["run", "quick", *flags, "--out", str(data / "run")]) == 0
    return data / "run"


@pytest.fixture(scope="module")
def exported(run: Path, data: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        few_episodes(patch, card=40)
        assert main(["export", str(run), "--name", "colours", "--out", str(data / "bundles")]) == 0
    return data / "bundles" / "colours" / "1"


def test_a_run_leaves_a_checkpoint_and_curves(run: Path) -> None:
    checkpoint = Checkpoint.load(run)
    assert [row["epoch"] for row in checkpoint.history] == [1, 2]
    with Image.open(run / "curves.png") as curves:
        assert curves.format == "PNG"
    assert list((run / "tensorboard").glob("events.*"))


def test_a_second_run_does_not_overwrite_the_first(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "checkpoint.pt").read_bytes()
    assert main(["run", "quick", "--data", str(data / "images"), "--split", str(data / "split.json"), "--out", str(run)]) == 1
    assert "resume it" in capsys.readouterr().err
    assert (run / "checkpoint.pt").read_bytes() == before


def test_resuming_a_finished_run_changes_nothing(run: Path) -> None:
    before = Checkpoint.load(run)
    assert main(["resume", str(run)]) == 0
    assert all(torch.equal(value, before.learner[name]) for name, value in Checkpoint.load(run).learner.items())


def test_the_exports_compute_what_eager_pytorch_does(run: Path, exported: Path) -> None:
    bundle = open_bundle(exported)
    network = PixelBackbone(Checkpoint.load(run).trained_backbone()).eval()
    pixels = np.random.default_rng(1).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        eager = network(torch.from_numpy(pixels)).numpy()
    for kind in ("onnx", "torchscript"):
        embeddings = open_engine(bundle, kind).embed(pixels)
        assert np.linalg.norm(embeddings - eager) <= 1e-4 * np.linalg.norm(eager)


def test_a_bundle_describes_itself(exported: Path) -> None:
    bundle = open_bundle(exported)
    manifest = bundle.manifest
    assert {ONNX, ONNX_FP16, TORCHSCRIPT} <= manifest.files.keys()
    assert (ONNX_INT8 in manifest.files) <= has_int8_instructions()
    assert manifest.training.classes == tuple(BASE)
    for file in (ONNX, ONNX_FP16):
        assert {(e.part, e.shots) for e in manifest.evaluations if e.file == file} >= {("test", 1), ("test", 5)}
    assert "colours@1" in (exported / "README.md").read_text()
    for path in exported.iterdir():
        assert str(exported.parent.parent.parent).encode() not in path.read_bytes(), f"{path.name} holds a path of this machine"


def test_export_refuses_a_graph_that_computes_something_else(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(network: PixelBackbone, example: np.ndarray) -> bytes:
        with torch.no_grad():
            network.backbone.std.mul_(1.0005)
            model = converted(network, example)
            network.backbone.std.div_(1.0005)
        return model

    monkeypatch.setattr(candidate, "to_onnx", wrong)
    assert main(["export", str(run), "--name", "wrong", "--out", str(data / "bundles")]) == 1
    assert "disagrees with eager PyTorch" in capsys.readouterr().err
    assert not (data / "bundles" / "wrong").exists()


def test_evaluate_prints_what_the_design_promises(exported: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data", str(data / "images"), "--split", str(data / "split.json"), "--episodes", "30", "--queries", "5"]
    assert main(["evaluate", str(exported), *flags, "--shots", "1", "3", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [row["shots"] for row in results] == [1, 3]
    for row in results:
        assert row.keys() == {"ways", "shots", "queries", "episodes", "accuracy", "ci95", "ece"}
        assert 0.5 < row["accuracy"] <= 1.0
    assert main(["evaluate", str(exported), *flags]) == 0
    assert "±" in capsys.readouterr().out


def test_classes_that_the_backbone_was_trained_on_are_no_test(
    exported: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = {"dataset": "colours", "train": VALIDATION, "validation": NOVEL, "test": BASE}
    (tmp_path / "split.json").write_text(json.dumps(split))
    flags = ["--data", str(data / "images"), "--split", str(tmp_path / "split.json"), "--episodes", "3"]
    assert main(["evaluate", str(exported), *flags]) == 1
    assert "was trained on 8 of the test classes" in capsys.readouterr().err


def test_an_unfinished_run_is_not_exported(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = Checkpoint.load(run)
    checkpoint.history.pop()
    checkpoint.save(tmp_path)
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "bundles")]) == 1
    assert "not finished" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--name", "../escape"], ["--version", "1/2"], ["--name", "Upper"], ["--name", "colours"]])
def test_a_name_that_cannot_be_is_refused_at_once(
    run: Path, exported: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), "--out", str(exported.parent.parent), *flags]) == 1
    assert "not a valid name" in (error := capsys.readouterr().err) or "exists already" in error


def test_calibrating_a_bundle_gives_it_the_laws_of_an_export_and_touches_no_file(
    exported: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = open_bundle(exported).manifest
    assert fitted.head.temperatures is not None
    assert fitted.head.novelty is not None
    bundle = Path(shutil.copytree(exported, tmp_path / "bundle"))
    without = fitted.head.model_copy(update={"temperatures": None, "novelty": None})
    replace_manifest(bundle, fitted.model_copy(update={"head": without}))
    before = {path.name: path.read_bytes() for path in bundle.iterdir() if path.name != MANIFEST}
    few_episodes(monkeypatch)
    flags = ["--data", str(data / "images"), "--split", str(data / "split.json"), "--episodes", "40"]
    assert main(["calibrate", str(bundle), *flags]) == 0
    assert "log T of several = " in capsys.readouterr().out
    assert open_bundle(bundle).manifest == fitted
    assert {path.name: path.read_bytes() for path in bundle.iterdir() if path.name != MANIFEST} == before
    assert main(["inspect", str(bundle)]) == 0
    assert "log T of several = " in capsys.readouterr().out


def test_inspect_verifies(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(exported)]) == 0
    assert "verified" in capsys.readouterr().out
    assert main(["inspect", str(exported / "nowhere")]) == 1
    assert "not found" in capsys.readouterr().err


@pytest.mark.parametrize("members", [["other/1.png"], []])
def test_a_class_without_images_is_named(
    data: Path, tmp_path: Path, members: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for member in members:
            archive.writestr(member, b"")
    flags = ["--data", str(tmp_path / "a.zip"), "--split", str(data / "split.json"), "--out", str(tmp_path / "run")]
    assert main(["run", "quick", *flags]) == 1
    assert "base0" in capsys.readouterr().err


def test_an_onnx_file_of_the_exporter_needs_no_torch_and_takes_any_batch(exported: Path) -> None:
    session = onnxruntime.InferenceSession((exported / ONNX).read_bytes())
    for count in (1, 3, 50):
        (embeddings,) = session.run(None, {"pixels": np.zeros((count, 32, 32, 3), dtype=np.uint8)})
        assert embeddings.shape == (count, open_bundle(exported).manifest.embedding_dim)
