"""`headstart export --format tflite` of tasks of a real server, run in Google's own runtime."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from headstart import Client
from headstart.__main__ import main
from models.images.preprocess import Pixels, fit_pixels
from models.manifest import InputSpec
from models.processor import has_int8_instructions
from tests.helpers.classifiers import classifier_of
from tests.helpers.samples import SAMPLES, read_samples
from tests.helpers.servers import ServerProcess

Printed = pytest.CaptureFixture[str]
PATHS = sorted(SAMPLES.glob("query/*/*.jpg"))[::6] + sorted(SAMPLES.glob("stranger/*.jpg"))[2:4]


def square(path: Path) -> Pixels:
    return fit_pixels(np.asarray(Image.open(path).convert("RGB")), InputSpec(height=224, width=224))


class Model:
    """The file as any program runs it."""

    def __init__(self, file: Path) -> None:
        self.interpreter = Interpreter(model_path=str(file), num_threads=1)
        self.interpreter.allocate_tensors()
        self.inputs, self.outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()

    def __call__(self, pixels: Pixels) -> list[np.ndarray]:
        self.interpreter.set_tensor(self.inputs[0]["index"], pixels[None])
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(each["index"])[0] for each in self.outputs]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with ServerProcess(tmp_path_factory.mktemp("server") / "data", bundle=None) as server, Client(server.url) as client:
        yield client


@pytest.fixture(scope="module")
def task(client: Client) -> str:
    """A task with negatives, whose backbone looks at 160 pixels."""
    task = client.create_task("photographs", read_samples("support"))
    strangers = sorted((SAMPLES / "stranger").glob("*.jpg"))
    return client.add_examples(task.id, [(None, path) for path in strangers[:2]]).id


@pytest.fixture(scope="module")
def folder(client: Client, task: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "birds"
    assert main(["--url", client.url, "export", task, "--format", "tflite", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return Model(folder / "model.tflite")


def test_every_output_is_the_servers(model: Model, folder: Path, client: Client, task: str) -> None:
    labels = (folder / "labelmap.txt").read_text(encoding="utf-8").splitlines()
    images = [square(path) for path in PATHS]
    predictions = client.predict(task, [Image.fromarray(image) for image in images]).checked()
    assert {each.known for each in predictions} == {True, False}
    for image, prediction in zip(images, predictions, strict=True):
        scores, probabilities, known, novelty = model(image)
        assert dict(zip(labels, probabilities.tolist(), strict=False)) == pytest.approx(prediction.scores, abs=1e-5)
        assert bool(known) is prediction.known
        assert float(novelty) == pytest.approx(prediction.novelty, abs=2e-4)
        expected = [*probabilities * known, 1.0 - known]
        assert scores.tolist() == pytest.approx(np.minimum(np.multiply(expected, 256), 255), abs=0.6)


def test_the_folder_is_what_frigate_reads(model: Model, folder: Path, client: Client, task: str) -> None:
    """As its `data_processing/real_time/custom_classification.py` does: the first input, the first output, a line for a row."""
    assert sorted(each.name for each in folder.iterdir()) == ["labelmap.txt", "model.tflite"]
    (taken,) = model.inputs
    assert (taken["shape"].tolist(), taken["dtype"]) == ([1, 224, 224, 3], np.uint8)
    given = model.outputs[0]
    assert (given["shape"].tolist(), given["dtype"], given["quantization"]) == ([1, 6], np.uint8, (1 / 256, 0))
    labelmap = dict(enumerate((folder / "labelmap.txt").read_text(encoding="utf-8").splitlines()))
    predictions = client.predict(task, [Image.fromarray(square(path)) for path in PATHS]).checked()
    for path, prediction in zip(PATHS, predictions, strict=True):
        result = model(square(path))[0]
        shares = result / result.sum(axis=0)
        best = int(np.argmax(shares))
        assert labelmap[best] == (prediction.label if prediction.known else "none")
        if prediction.known:
            assert round(float(shares[best]), 2) == pytest.approx(prediction.probability, abs=0.015)


def test_the_shapes_in_the_file_are_those_that_the_runtime_finds(model: Model) -> None:
    for each in model.interpreter.get_tensor_details():
        assert each["shape"].tolist() == each["shape_signature"].tolist() or each["shape"].size == 0


def test_the_check_passes_what_is_sound_and_fails_what_is_not(folder: Path, tmp_path: Path, capsys: Printed) -> None:
    assert main(["--json", "export", "check", str(folder)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["same"], told["tolerance"], told["probability"] < 1e-4) == (5, 1e-3, True)

    content = (folder / "model.tflite").read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.tflite").write_bytes(content)
    (other / "labelmap.txt").write_text("robin\nwren\n")
    assert main(["export", "check", str(other)]) == 2
    assert "other labels" in capsys.readouterr().err
    assert main(["export", "check", str(other / "model.tflite")]) == 0

    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(content.replace(b"probabilities", b"probability__"))  # of the golden images
    assert main(["export", "check", str(damaged)]) == 2
    assert "was not made by" in capsys.readouterr().err
    damaged.write_bytes(content[:1000])
    assert main(["export", "check", str(damaged)]) == 2
    assert "no TensorFlow Lite file" in capsys.readouterr().err


def test_int8_stays_int8(shipped_bundle: Path, tmp_path: Path, capsys: Printed) -> None:
    classifier = classifier_of(shipped_bundle, "task_1", "int8", "onnx-int8")
    (tmp_path / "int8.safetensors").write_bytes(classifier.to_bytes())
    assert main(["export", str(tmp_path / "int8.safetensors"), "--format", "tflite", "--out", str(tmp_path / "int8")]) == 0
    details = Model(tmp_path / "int8" / "model.tflite").interpreter.get_tensor_details()
    assert any(each["dtype"] == np.int8 and len(each["shape"]) == 4 for each in details)
    assert not any(each["dtype"] == np.float32 and each["name"].endswith("/kernel") for each in details)
    capsys.readouterr()
    assert main(["--json", "export", "check", str(tmp_path / "int8")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tolerance"] == 0.05
    assert told["probability"] < 2e-4 or not has_int8_instructions()


def test_a_class_called_none_and_several_labels(client: Client, tmp_path: Path) -> None:
    examples = [
        ((label, "none") if number % 2 else (label,), image) for number, (label, image) in enumerate(read_samples("support"))
    ]
    task = client.create_task("several", examples, several_labels=True)
    folder = tmp_path / "several"
    assert main(["--url", client.url, "export", task.id, "--format", "tflite", "--out", str(folder)]) == 0
    labels = (folder / "labelmap.txt").read_text(encoding="utf-8").splitlines()
    assert labels.count("none") == 1
    image = square(PATHS[0])
    (prediction,) = client.predict(task.id, Image.fromarray(image)).checked()
    scores, probabilities, known, _ = Model(folder / "model.tflite")(image)
    assert dict(zip(labels, probabilities.tolist(), strict=True)) == pytest.approx(prediction.scores, abs=1e-5)
    assert scores.tolist() == pytest.approx(np.minimum(probabilities * 256, 255), abs=0.6)
    assert bool(known) is prediction.known


@pytest.mark.parametrize(
    ("form", "library", "extras"),
    [("tflite", "ai_edge_litert", "cpu,export,tflite"), ("coreml", "coremltools", "cpu,export,coreml")],
)
def test_a_missing_library_is_named_with_its_extra(
    form: str, library: str, extras: str, shipped_bundle: Path, tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.safetensors").write_bytes(classifier_of(shipped_bundle, "task_1", "c").to_bytes())
    for name in [name for name in sys.modules if name.startswith((f"exporting.{form}", library))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "c.safetensors"), "--format", form, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"pip install 'headstart-server[{extras}]'" in error
    assert not out.exists()
