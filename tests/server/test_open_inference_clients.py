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
from numpy.typing import NDArray

from benchmarks.server_process import ROOT, free_port
from tests.helpers.bundles import SMALL
from tests.helpers.markdown import Document
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, predict

pytestmark = pytest.mark.slow

_PAGE = ROOT / "docs" / "integrations" / "open-inference-protocol.md"
_CLIENTS = ("tritonclient[grpc,http]>=2.73", "kserve>=0.21")
_COMPILED = ROOT / "server" / "grpc" / "inference.binpb"
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
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...], grpc_port: int) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("v2-clients") / "data"
    with ServerProcess(data, *small_flags, "--grpc-port", str(grpc_port)) as process:
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


def scores_of(api: httpx.Client, task: str, expected: list[dict[str, Any]]) -> NDArray[np.float32]:
    """The probabilities that our own call answers, in the order of PROBABILITY."""
    labels = [each["label"] for each in api.get(f"/v1/tasks/{task}").json()["classes"]]
    return np.array([[one["scores"][label] for label in labels] for one in expected], np.float32)


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
    np.testing.assert_array_equal(np.array(said["probabilities"], np.float32), scores_of(api, task, expected))
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


def test_tritonclient_over_grpc(
    python: Path, grpc_port: int, api: httpx.Client, task: str, expected: list[dict[str, Any]]
) -> None:
    script = ROOT / "tests" / "helpers" / "ask_as_triton_grpc.py"
    said = json.loads(heard(python, script, f"localhost:{grpc_port}", task, SMALL, _COMPILED, *_QUERIES))
    assert said["differences"] == [], "fields of ours are those of the client"
    assert said["live"]
    assert said["ready"]
    assert said["models ready"] == [True, True, True, False]
    assert said["version ready"] == [True, False]
    assert "binary_tensor_data" in said["extensions"]
    assert {task, f"{task}.pixels", f"{SMALL}.embedding"} <= {*said["index"]}
    metadata = api.get(f"/v2/models/{task}").json()
    assert [each["name"] for each in said["metadata"]["outputs"]] == [each["name"] for each in metadata["outputs"]]
    assert said["config"]["input"][0]["format"] == "FORMAT_NHWC"
    codes = [said[refused][0].removeprefix("StatusCode.") for refused in ("unload", "unknown", "broken")]
    assert codes == ["INVALID_ARGUMENT", "NOT_FOUND", "INVALID_ARGUMENT"]
    assert "image 4 of 4" in said["broken"][1]
    assert said["response"] == "17"
    np.testing.assert_array_equal(np.array(said["probabilities"], np.float32), scores_of(api, task, expected))
    labels, known, novelty = said["named"]
    assert labels == [[one["label"]] for one in expected]
    assert known == [[one["known"]] for one in expected]
    np.testing.assert_array_equal(np.array(novelty, np.float32), np.array([[one["novelty"]] for one in expected], np.float32))
    assert [row[0].split(":", 2)[2] for row in said["classes"]] == [one["label"] for one in expected]
    assert said["pixels"][0] == 2
    assert said["embeddings"] == [len(_QUERIES), 48]
    assert said["statistics"] >= 5


def test_kserve(
    python: Path, server: ServerProcess, grpc_port: int, task: str, api: httpx.Client, expected: list[dict[str, Any]]
) -> None:
    script = ROOT / "tests" / "helpers" / "ask_as_kserve.py"
    heard_by = json.loads(heard(python, script, server.url, f"localhost:{grpc_port}", task, *_QUERIES))
    scores = scores_of(api, task, expected).ravel()
    for client, ways in (("REST", ("probabilities", "binary", "as JSON")), ("gRPC", ("probabilities", "typed"))):
        said = heard_by[client]
        assert said["live"]
        assert said["ready"]
        assert said["models ready"] == [True, False]
        assert (said["id"], said["model"]) == ("5", task)
        for way in ways:
            np.testing.assert_array_equal(np.array(said[way], np.float32), scores)
        assert said["labels"] == [one["label"] for one in expected]
        assert "there is no task 'none'" in said["unknown"]


def test_the_programs_of_the_page(python: Path, server: ServerProcess, grpc_port: int, task: str, tmp_path: Path) -> None:
    """The bundle of tests tells no windmill from a tower, and the programs print whatever is answered."""
    blocks = [code.text for code in Document(_PAGE, _PAGE.read_text()).blocks() if code.language == "python"]
    assert len(blocks) == 3
    printed = []
    for block in blocks:
        program = tmp_path / "program.py"
        addressed = block.replace("localhost:8000", server.url.removeprefix("http://")).replace("8001", str(grpc_port))
        program.write_text(re.sub("task_01…", task, addressed))
        printed.append(heard(python, program))
    assert re.search(r"\w+ 0\.\d{9}\n.*\none of the classes: (True|False)\n", printed[0])
    assert re.fullmatch(r"\[\[0\.\d+( +0\.\d+)* *\]\]\n", printed[1])
    assert printed[2].startswith("PROBABILITY [")
