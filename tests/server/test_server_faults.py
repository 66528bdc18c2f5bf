"""Faults of the server's own over HTTP, each provoked for real: what is answered, and what the log says of it."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import update

from server.store.tables import versions
from tests.helpers.bundles import small_bundle
from tests.helpers.databases import statements_in
from tests.helpers.images import encode
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, predict, queries

WHITE = encode(np.full((32, 32, 3), 255, np.uint8))
MINE = {"X-Request-ID": "mine"}


def client_of(process: ServerProcess) -> httpx.Client:
    return httpx.Client(base_url=process.url, timeout=60)


def lines_since(process: ServerProcess, before: int) -> list[dict[str, Any]]:
    """The server's own lines of the log after its first `before` characters, up to the one about the answer.

    That line is written once the answer is out. So the one of the request before may still come, and is left out. ONNX Runtime
    prints some lines of its own.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in process.log()[before:].splitlines(keepends=True) if line[0] + line[-1] == "{\n"]
        lines = [line for line in lines if line["logger"] != "server.access" or line["request_id"] == MINE["X-Request-ID"]]
        if any(line["logger"] == "server.access" for line in lines):
            return lines
        time.sleep(0.01)
    raise AssertionError(f"no line about the answer in {process.log()[before:]}")


def assert_told(lines: list[dict[str, Any]], logger: str, status: int) -> None:
    """The logger says why, the access log what was answered, and each line bears the id of the request."""
    assert {line["request_id"] for line in lines} == {"mine"}
    assert [line["logger"] for line in lines] == [logger, "server.access"]
    assert lines[0]["level"] == "error"
    assert "Traceback" in lines[0]["exception"]
    assert lines[1]["status"] == status


def test_a_head_that_cannot_be_read_is_a_fault_of_the_server(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled
) -> None:
    """Somebody wrote into the database while the server was away."""
    data = tmp_path / "data"
    with ServerProcess(data, *small_flags) as process, client_of(process) as api:
        broken, sound = (create(api, support)["id"] for _ in range(2))
    with statements_in(data) as database:
        assert database.execute(update(versions).where(versions.c.task == broken).values(head=b"\0")).rowcount == 1
    with ServerProcess(data, *small_flags, "--log-format", "json") as process, client_of(process) as api:
        before = len(process.log())
        response = api.post(f"/v1/tasks/{broken}/predict", headers=MINE, **queries([WHITE]))
        assert_problem(response, 500, "internal_error")
        assert (response.headers["x-request-id"], response.json()["request_id"]) == ("mine", "mine")
        assert_told(lines_since(process, before), "server.http.front", 500)
        assert 'headstart_errors_total{code="internal_error"} 1.0' in api.get("/metrics").text
        assert predict(api, sound, [WHITE]), "others are served"


@pytest.mark.sqlite("its files are damaged under the server")
def test_a_database_that_is_damaged_under_the_server_is_a_failure_of_its_storage(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled
) -> None:
    flags = (*small_flags, "--log-format", "json")
    with ServerProcess(tmp_path / "data", *flags) as process, client_of(process) as api:
        task = create(api, support)["id"]
        for file in ("headstart.db", "headstart.db-wal"):
            path = tmp_path / "data" / file
            with path.open("r+b") as damaged:
                damaged.write(b"\xff" * path.stat().st_size)
        before = len(process.log())
        assert_problem(api.get(f"/v1/tasks/{task}/examples", headers=MINE), 503, "storage_failed")
        assert_told(lines_since(process, before), "server.store.failures", 503)
        assert api.get("/healthz").status_code == 200


def test_a_network_that_fails_on_an_image_is_a_failure_of_the_engine(
    tmp_path: Path, shipped_bundle: Path, support: Labelled
) -> None:
    """It looks up a value that it lacks for the image, which ONNX Runtime refuses to compute."""
    id_ = small_bundle(shipped_bundle, tmp_path / "bundles", "brittle", brittle=True)
    flags = ("--bundles-dir", str(tmp_path / "bundles"), "--bundle", id_, "--log-format", "json")
    with ServerProcess(tmp_path / "data", *flags) as process, client_of(process) as api:
        task = create(api, support)["id"]
        before = len(process.log())
        response = api.post(f"/v1/tasks/{task}/predict", headers=MINE, **queries([WHITE]))
        assert_problem(response, 503, "engine_failed")
        assert response.headers["retry-after"]
        assert_told(lines_since(process, before), "server.engine.batcher", 503)
        assert predict(api, task, [support[0][1]])[0]["label"] == support[0][0], "the engine goes on"
