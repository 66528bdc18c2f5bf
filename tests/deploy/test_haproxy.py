"""HAProxy's configuration, read by a real HAProxy, and asked of servers that stop."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.server_process import ROOT, free_port
from tests.helpers.programs import output_of, program
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create

CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
_PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def haproxy() -> str:
    found = "/usr/sbin/haproxy"  # which is not on everybody's path
    return found if Path(found).exists() else program("haproxy", "haproxy")


@pytest.fixture
def balanced(tmp_path: Path, haproxy: str, small_flags: tuple[str, ...]) -> Iterator[tuple[str, ServerProcess]]:
    """The address of HAProxy with one server behind it, and the server."""
    with ServerProcess(tmp_path / "data", *small_flags, "--drain-seconds", "60", "--allowed-hosts", "headstart") as server:
        port = free_port()
        text = re.sub(r"^ +server .*\n", "", CONFIGURATION.read_text(), flags=re.MULTILINE)
        text = text.replace("bind :8000", f"bind 127.0.0.1:{port}").replace("inter 500ms", "inter 100ms")
        text += f"    server one {server.url.removeprefix('http://')}\n"
        (tmp_path / "haproxy.cfg").write_text(text)
        with subprocess.Popen([haproxy, "-db", "-f", str(tmp_path / "haproxy.cfg")], stderr=subprocess.DEVNULL) as process:
            url = f"http://127.0.0.1:{port}"
            try:
                _until_ready(url)
                yield url, server
            finally:
                process.terminate()


def test_the_configuration_is_one(haproxy: str) -> None:
    assert "Warnings" not in output_of(haproxy, "-c", "-V", "-f", CONFIGURATION)


def test_a_server_that_stops_is_asked_no_more_and_nothing_fails(balanced: tuple[str, ServerProcess], support: Labelled) -> None:
    """While it drains it answers all that comes, and HAProxy then answers in the same form that there is no server."""
    url, server = balanced
    with httpx.Client(base_url=url, timeout=30) as api:
        task = create(api, support)["id"]
        server.process.send_signal(signal.SIGTERM)
        statuses: list[int] = []
        while not statuses or statuses[-1] == 200:
            reply = api.post(f"/v1/tasks/{task}/predict", content=support[0][1])
            statuses.append(reply.status_code)
        assert len(statuses) > 1
        assert reply.status_code == 503
        assert reply.headers["content-type"] == "application/problem+json"
        assert (reply.json()["code"], reply.headers["retry-after"]) == ("no_server", "1")
        assert httpx.get(f"{server.url}/readyz").json()["status"] == "stopping", "it serves yet who asks it alone"
        assert server.stop() == 0, "at once at the second signal"


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.02)
