"""Stock clients of the Open Inference Protocol against a real server, in an environment of their own: they pin other packages."""

import json
import re
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.server_process import ROOT
from tests.helpers.bundles import SMALL
from tests.helpers.markdown import Document
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, predict

pytestmark = pytest.mark.slow

_PAGE = ROOT / "docs" / "integrations" / "open-inference-protocol.md"
_CLIENTS = ("tritonclient[http]>=2.73", "kserve>=0.21")
_QUERIES = sorted((SAMPLES / "query").glob("*/*.jpg"))[:3]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the clients and none of our packages."""
    folder = tmp_path_factory.mktemp("clients")
    venv.create(folder, with_pip=True)
    interpreter = folder / "bin" / "python"
    subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *_CLIENTS], check=True)
    return interpreter


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("v2-clients") / "data", *small_flags) as process:
        yield process


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def task(api: httpx.Client, support: Labelled) -> str:
    id_: str = create(api, support)["id"]
    return id_


def heard(python: Path, *command: str | Path) -> str:
    """What a program of that environment prints. A warning of the clients is none of ours."""
    ended = subprocess.run([python, *command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def expected(api: httpx.Client, task: str) -> list[dict[str, Any]]:
    """What our own call answers."""
    return predict(api, task, [path.read_bytes() for path in _QUERIES])


def test_tritonclient(python: Path, server: ServerProcess, api: httpx.Client, task: str, expected: list[dict[str, Any]]) -> None:
    script = ROOT / "tests" / "helpers" / "ask_as_triton.py"
    said = json.loads(heard(python, script, server.url.removeprefix("http://"), task, SMALL, *_QUERIES))
    assert said["live"]
    assert said["ready"]
    assert said["models ready"] == [True, True, True, False]
    assert said["version ready"] == [True, False]
    assert "binary_tensor_data" in said["extensions"]
    assert {task, f"{task}.pixels", f"{SMALL}.embedding"} <= {*said["index"]}
    assert said["metadata"] == api.get(f"/v2/models/{task}").json()
    assert said["config"]["input"][0]["format"] == "FORMAT_NHWC"
    assert (said["unload"][0], said["unknown"][0], said["broken"][0]) == ("422", "404", "422")
    assert "none" in said["unknown"][1]
    assert "image 4 of 4" in said["broken"][1]
    assert said["response"]["id"] == "17"
    labels = [each["label"] for each in api.get(f"/v1/tasks/{task}").json()["classes"]]
    scores = np.array([[one["scores"][label] for label in labels] for one in expected], np.float32)
    np.testing.assert_array_equal(np.array(said["probabilities"], np.float32), scores)
    for binary in (True, False):
        names, known, novelty = said[f"named, {binary}"]
        assert names == [one["label"] for one in expected]
        assert known == [[one["known"]] for one in expected]
        np.testing.assert_array_equal(np.array(novelty, np.float32), np.array([[one["novelty"]] for one in expected], np.float32))
    assert [row[0].split(":", 2)[2] for row in said["classes"]] == [one["label"] for one in expected]
    assert all(len(row) == 2 for row in said["classes"])
    assert said["pixels, True"] == said["pixels, False"]
    assert len(said["pixels, True"]) == 2
    assert said["embeddings"] == [len(_QUERIES), 48]
    assert said["statistics"] >= 5


def test_kserve(python: Path, server: ServerProcess, task: str, api: httpx.Client, expected: list[dict[str, Any]]) -> None:
    said = json.loads(heard(python, ROOT / "tests" / "helpers" / "ask_as_kserve.py", server.url, task, *_QUERIES))
    assert said["live"]
    assert said["ready"]
    assert said["models ready"] == [True, False]
    assert (said["id"], said["model"]) == ("5", task)
    labels = [each["label"] for each in api.get(f"/v1/tasks/{task}").json()["classes"]]
    scores = np.array([[one["scores"][label] for label in labels] for one in expected], np.float32).ravel()
    for way in ("probabilities", "binary", "as JSON"):
        np.testing.assert_array_equal(np.array(said[way], np.float32), scores)
    assert said["labels"] == [one["label"] for one in expected]
    assert "there is no task 'none'" in said["unknown"]


def test_the_programs_of_the_page(python: Path, server: ServerProcess, task: str, tmp_path: Path) -> None:
    blocks = [code.text for code in Document(_PAGE, _PAGE.read_text()).blocks() if code.language == "python"]
    assert len(blocks) == 2
    printed = []
    for block in blocks:
        program = tmp_path / "program.py"
        program.write_text(re.sub("task_01…", task, block).replace("localhost:8000", server.url.removeprefix("http://")))
        printed.append(heard(python, program))
    assert re.search(r"windmill 0\.\d{9}\n.*\none of the classes: (True|False)\n", printed[0])
    assert printed[1].startswith("PROBABILITY [")
