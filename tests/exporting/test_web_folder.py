"""`headstart export check` of a folder for browsers: both of its models answer the golden images."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from scipy.special import expit, softmax

from exporting.check import Exported, check
from exporting.golden import Golden
from headstart.__main__ import main
from tests.helpers.classifiers import classifier_of

MODEL, CONFIG = Path("transformers.js/onnx/model.onnx"), Path("transformers.js/config.json")

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def exported(shipped_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("web")
    (folder / "c.safetensors").write_bytes(classifier_of(shipped_bundle, "task_1", "c").to_bytes())
    assert main(["export", str(folder / "c.safetensors"), "--format", "web", "--out", str(folder / "page")]) == 0
    return folder / "page"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "page")


def hotter(folder: Path) -> None:
    model = onnx.load(folder / MODEL)
    (last,) = (node for node in model.graph.node if node.output[0] == "logits")
    (division,) = (node for node in model.graph.node if node.output[0] == last.input[0])
    (temperature,) = (each for each in model.graph.initializer if each.name == division.input[1])
    halved = np.asarray(0.5 * onnx.numpy_helper.to_array(temperature), np.float32)
    temperature.CopyFrom(onnx.numpy_helper.from_array(halved, temperature.name))
    onnx.save(model, folder / MODEL)


def another_model(folder: Path) -> None:
    shutil.copyfile(folder / "model.onnx", folder / MODEL)


def no_model(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"no model")


def no_file(folder: Path) -> None:
    (folder / MODEL).unlink()


def other_labels(folder: Path) -> None:
    (folder / CONFIG).write_text(json.dumps({"id2label": {"0": "b", "1": "a"}}))


def no_labels(folder: Path) -> None:
    (folder / CONFIG).write_text("[]")


def test_a_sound_folder_passes(folder: Path, capsys: Printed) -> None:
    assert main(["--json", "export", "check", str(folder)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["same"], told["images"]) == (True, 5, 5)


@pytest.mark.parametrize(
    ("break_it", "code", "says"),
    [
        (hotter, 1, "Failed"),
        (another_model, 2, "not the model of this task for transformers.js"),
        (no_model, 2, "no ONNX file"),
        (no_file, 2, "No such file"),
        (other_labels, 2, "other labels"),
        (no_labels, 2, "no id2label"),
    ],
)
def test_a_folder_whose_second_model_is_broken_does_not(
    break_it: Callable[[Path], None], code: int, says: str, folder: Path, capsys: Printed
) -> None:
    break_it(folder)
    assert main(["export", "check", str(folder)]) == code
    assert says in "".join(capsys.readouterr())
    assert main(["export", "check", str(folder / "model.onnx")]) == 0, "the page's own model is sound"


@pytest.mark.parametrize("several", [False, True])
def test_logits_become_probabilities_as_of_the_task(several: bool) -> None:
    logits = np.array([[3.0, -1.0, 2.0]], np.float32)
    probabilities = expit(logits) if several else softmax(logits)
    golden = Golden([np.zeros((4, 5, 3), np.uint8)], np.asarray(probabilities, np.float64), [True], [0.25])
    about = {"several_labels": several, "int8": False}
    found = check(Exported(about, "abc", golden, lambda _: (probabilities, [True], [0.25]), lambda _: logits))
    assert found.passed
    assert found.probability < 1e-6
    wrong = check(Exported(about, "abc", golden, lambda _: (probabilities, [True], [0.25]), lambda _: logits[:, ::-1]))
    assert (wrong.passed, wrong.same) == (False, 0)
