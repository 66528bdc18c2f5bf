"""`headstart export --format coreml`: the network on its way, and the saved package evaluated without Apple's framework."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from exporting.coreml.network import Network
from exporting.model import find, to_answers
from headstart.__main__ import main
from models.engine import EngineKind
from models.processor import has_int8_instructions
from tests.helpers.classifiers import classifier_of

Printed = pytest.CaptureFixture[str]


@pytest.mark.parametrize("kind", ["onnx", "onnx-int8"])
def test_the_network_answers_as_onnx_runtime_does(kind: EngineKind, shipped_bundle: Path) -> None:
    if kind == "onnx-int8" and not has_int8_instructions():
        pytest.skip("on this processor the sums of ONNX Runtime saturate")
    found = find(classifier_of(shipped_bundle, "task_1", "a", kind).to_bytes(), None)
    model = to_answers(found)
    images = found.bundle.golden_pixels[:3]
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {model.graph.input[0].name: images})
    network = Network(model)
    for at, image in enumerate(images):
        with torch.no_grad():
            outputs = network(torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32)))
        for told, theirs in zip(outputs, expected, strict=True):
            assert told[0].numpy() == pytest.approx(np.float32(theirs[at]), abs=2e-4)


def test_a_package_has_its_own_ending_and_replaces_nothing(shipped_bundle: Path, tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "c.safetensors").write_bytes(classifier_of(shipped_bundle, "task_1", "c").to_bytes())
    export = ["export", str(tmp_path / "c.safetensors"), "--format", "coreml", "--out"]
    assert main([*export, str(tmp_path / "c.model")]) == 2
    assert "ends in .mlpackage" in capsys.readouterr().err
    (tmp_path / "c.mlpackage").mkdir()
    assert main([*export, str(tmp_path / "c.mlpackage")]) == 2
    assert "File exists" in capsys.readouterr().err
    assert main(["export", "check", str(tmp_path / "c.mlpackage")]) == 2
    assert "no Core ML package" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["onnx", "onnx-int8"])
def test_what_the_package_says_is_the_servers_answer(
    kind: EngineKind, shipped_bundle: Path, tmp_path: Path, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coremltools.models import MLModel  # It takes seconds, which every worker would spend if it stood above.

    from benchmarks.core_ml import Evaluated

    (tmp_path / "c.safetensors").write_bytes(classifier_of(shipped_bundle, "task_1", "c", kind).to_bytes())
    package = tmp_path / "c.mlpackage"
    assert main(["export", str(tmp_path / "c.safetensors"), "--format", "coreml", "--out", str(package)]) == 0
    described = MLModel(str(package), skip_model_load=True).get_spec().description
    assert described.input[0].type.WhichOneof("Type") == "imageType"
    assert [each.name for each in described.output] == ["label", "label_probs", "known", "novelty"]
    capsys.readouterr()

    monkeypatch.setattr(sys, "platform", "linux")
    assert main(["export", "check", str(package)]) == 2
    assert "on macOS alone" in capsys.readouterr().err

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(MLModel, "predict", lambda _, given: Evaluated(package).predict(given))
    assert main(["--json", "export", "check", str(package)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["same"]) == (5, 5)
    assert told["probability"] < 2e-4 or not has_int8_instructions()
