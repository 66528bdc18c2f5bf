"""`headstart export --format onnx` of tasks of a real server: the file answers as the server does."""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from headstart import Client
from headstart.__main__ import main
from tests.helpers.classifiers import classifier_of
from tests.helpers.samples import SAMPLES, Labelled, read_samples
from tests.helpers.servers import ServerProcess

Printed = pytest.CaptureFixture[str]


class Export(NamedTuple):
    """The file, and the program that reads it."""

    file: Path
    program: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("export") / "data", bundle=None) as process:
        yield process


@pytest.fixture(autouse=True)
def address(server: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADSTART_URL", server.url)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def photographs(server: ServerProcess) -> str:
    """A task of the shipped photographs, with negatives. Its backbone looks at 160 pixels."""
    with Client(server.url) as client:
        task = client.create_task("photographs", read_samples("support"))
        strangers = sorted((SAMPLES / "stranger").glob("*.jpg"))
        return client.add_examples(task.id, [(None, path) for path in strangers[:2]]).id


def export(task: str, url: str, folder: Path) -> Export:
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.chdir(folder):
        assert main(["--json", "--url", url, "export", task, "--format", "onnx"]) == 0
    told = json.loads(printed.getvalue())
    assert told["task"] == task
    return Export(folder / told["file"], told["program"])


@pytest.fixture(scope="module")
def exported(photographs: str, server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export(photographs, server.url, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module")
def session(exported: Export) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(exported.file)


def test_the_printed_program_answers_as_the_server_does(exported: Export, photographs: str, client: Client) -> None:
    assert exported.file.name == "photographs.onnx"
    assert len(exported.program.splitlines()) == 10
    (exported.file.parent / "classify.py").write_text(exported.program)
    images = sorted(SAMPLES.glob("query/*/*.jpg"))[::2] + sorted(SAMPLES.glob("stranger/*.jpg"))
    command = [sys.executable, "-P", "classify.py", *map(str, images)]
    run = subprocess.run(command, cwd=exported.file.parent, capture_output=True, text=True, check=True)
    predictions = client.predict(photographs, images).checked()
    lines = run.stdout.splitlines()
    assert {prediction.known for prediction in predictions} == {True, False}
    for line, path, prediction in zip(lines, images, predictions, strict=True):
        label, _, probability = line.removeprefix(f"{path} ").rpartition(" ")
        assert label == (prediction.label if prediction.known else "none of these")
        assert abs(float(probability) - prediction.probability) < 1e-3


def test_every_output_is_the_servers(session: onnxruntime.InferenceSession, photographs: str, client: Client) -> None:
    """Pixels of many shapes go to the server as PNG, which loses nothing."""
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    boxes = [(0, 0, 160, 160), (9, 0, 100, 300), (0, 50, 320, 90), (0, 0, 320, 320), (1, 1, 20, 30)]
    for (_, photograph), box in zip(read_samples("query")[::5], boxes, strict=True):
        picture = Image.open(io.BytesIO(photograph)).crop(box)
        (prediction,) = client.predict(photographs, picture).checked()
        probabilities, known, novelty = session.run(None, {"image": np.asarray(picture)[None]})
        assert dict(zip(labels, probabilities[0].tolist(), strict=True)) == pytest.approx(prediction.scores, abs=1e-3)
        assert known.tolist() == [prediction.known]
        assert novelty[0] == pytest.approx(prediction.novelty, abs=2e-3)


def test_a_batch_has_the_answers_of_its_images(session: onnxruntime.InferenceSession) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)
    together = session.run(None, {"image": images})
    alone = [session.run(None, {"image": image[None]}) for image in images]
    for at, output in enumerate(together):
        assert len(output) == 3
        assert output == pytest.approx(np.concatenate([each[at] for each in alone]), abs=1e-5)


def test_several_labels(client: Client, support: Labelled, queries: Labelled, tmp_path: Path) -> None:
    examples = [((label, "all") if number % 2 else (label,), image) for number, (label, image) in enumerate(support)]
    task = client.create_task("both/of them", examples, several_labels=True)
    file = export(task.id, client.url, tmp_path).file
    assert file.name == "both_of them.onnx"
    session = onnxruntime.InferenceSession(file)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["headstart"])["several_labels"] is True
    labels, images = json.loads(told["labels"]), [image for _, image in queries[:5]]
    for image, prediction in zip(images, client.predict(task.id, images).checked(), strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))
        probabilities, known, novelty = session.run(None, {"image": pixels[None]})
        assert dict(zip(labels, probabilities[0].tolist(), strict=True)) == pytest.approx(prediction.scores, abs=1e-3)
        assert (known.tolist(), novelty[0]) == ([prediction.known], pytest.approx(prediction.novelty, abs=2e-3))


def test_the_check_passes_what_is_sound_and_fails_what_is_not(exported: Export, capsys: Printed) -> None:
    file = exported.file
    assert main(["export", "check", str(file)]) == 0
    assert "Passed: 5 of 5 golden images" in capsys.readouterr().out
    assert main(["--json", "export", "check", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["same"], told["probability"] < 1e-3) == (True, 5, True)

    model = onnx.load(file)
    (softmax,) = (node for node in model.graph.node if node.output[0] == "probabilities")
    (division,) = (node for node in model.graph.node if node.output[0] == softmax.input[0])
    (temperature,) = (each for each in model.graph.initializer if each.name == division.input[1])
    temperature.CopyFrom(
        onnx.numpy_helper.from_array(np.asarray(2.0 * onnx.numpy_helper.to_array(temperature), np.float32), temperature.name)
    )
    onnx.save(model, "hotter.onnx")
    assert main(["export", "check", "hotter.onnx"]) == 1
    assert "Failed" in capsys.readouterr().out

    Path("no.onnx").write_bytes(b"no model")
    assert main(["export", "check", "no.onnx"]) == 2
    assert "no ONNX file" in capsys.readouterr().err
    del model.metadata_props[:]
    onnx.save(model, "foreign.onnx")
    assert main(["export", "check", "foreign.onnx"]) == 2
    assert "was not made by" in capsys.readouterr().err


def test_a_file_of_the_task_needs_no_server(photographs: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["classifier", photographs, "p.safetensors"]) == 0
    monkeypatch.setenv("HEADSTART_URL", "http://127.0.0.1:1")
    capsys.readouterr()
    assert main(["--json", "export", "p.safetensors", "--format", "onnx", "--out", "p.onnx"]) == 0
    assert main(["export", "check", "p.onnx"]) == 0
    assert main(["export", "p.safetensors", "--format", "onnx", "--out", "p.onnx"]) == 2
    assert "p.onnx: File exists" in capsys.readouterr().err


def test_int8_is_exported_as_it_is(shipped_bundle: Path, capsys: Printed) -> None:
    Path("int8.safetensors").write_bytes(classifier_of(shipped_bundle, "task_1", "int8", "onnx-int8").to_bytes())
    assert main(["export", "int8.safetensors", "--format", "onnx"]) == 0
    capsys.readouterr()
    assert main(["--json", "export", "check", "int8.onnx"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["tolerance"], told["same"]) == (0.05, 5)


@pytest.mark.parametrize("words", [["birds"], ["check"], ["check", "a", "b"], ["a", "b", "--format", "onnx"]])
def test_what_cannot_be_meant_is_refused(words: list[str], capsys: Printed) -> None:
    assert main(["export", *words]) == 2
    assert "headstart: " in capsys.readouterr().err
