"""Starting and stopping: SIGTERM under load, and starts that must be refused with one line."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from benchmarks.bundles import copy_bundle
from benchmarks.server_process import ROOT, free_port
from models.bundle import PAPER_BUNDLE
from server.settings import Settings, load_settings
from tests.helpers.samples import Labelled
from tests.helpers.servers import RealServer, ServerProcess, environment_of, run_server
from tests.helpers.uploads import create, queries
from tests.helpers.waiting import wait_until

_GONE_SECONDS = 2


def test_sigterm_under_load_answers_what_is_under_way(tmp_path: Path, small_flags: tuple[str, ...], support: Labelled) -> None:
    """Every request that reached the server is answered; only connections it no longer takes may be refused."""
    with ServerProcess(tmp_path / "data", *small_flags) as process:
        with httpx.Client(base_url=process.url, timeout=60) as api:
            task = create(api, support)["id"]
        images = [image for _, image in support] * 4
        stopping, busy = threading.Event(), threading.Semaphore(0)

        def load(_: int) -> tuple[int, int]:
            answered = lost = 0
            with httpx.Client(base_url=process.url, timeout=60) as api:
                while True:
                    try:
                        response = api.post(f"/v1/tasks/{task}/predict", **queries(images))
                    except httpx.ConnectError:
                        return answered, lost
                    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                        # An idle connection may be closed as a request is put on it; one before the signal may not.
                        return answered, lost + (not stopping.is_set())
                    assert response.status_code == 200, response.text
                    assert len(response.json()["predictions"]) == len(images)
                    answered += 1
                    busy.release()

        with ThreadPoolExecutor(8) as pool:
            results = pool.map(load, range(8))
            for _ in range(24):  # answers, after which each client is in the middle of one of its requests
                assert busy.acquire(timeout=60)
            stopping.set()
            process.process.send_signal(signal.SIGTERM)
            assert process.process.wait(60) == 0
            totals = list(results)
    assert sum(answered for answered, _ in totals) >= 8
    assert not sum(lost for _, lost in totals)
    assert "Traceback" not in process.log()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_drains_says_that_it_stops_and_answers_until_it_does(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled, workers: str
) -> None:
    flags = (*small_flags, "--workers", workers, "--drain-seconds", "60")
    with RealServer(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create(api, support)["id"]
        # It answers once one worker does. A stop ends those that are still starting, and whoever has connected to them.
        wait_until(lambda: process.log().count("Application startup complete") == (1 if workers == "1" else 3))
        process.process.send_signal(signal.SIGTERM)
        while (ready := api.get("/readyz")).status_code == 200:
            pass
        assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
        answer = api.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]]))
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert process.stop() == 0, "at once at the second signal"


def catches_sigterm(pid: int) -> bool:
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads of /proc what signals a process heeds")
@pytest.mark.parametrize("as_first_process", [False, True])
@pytest.mark.parametrize("delay", [0, 0.5, 2.5])
def test_sigterm_while_it_starts_ends_it(tmp_path: Path, as_first_process: bool, delay: float) -> None:
    """Also as the first process of a container, which ignores every signal that it has no handler for."""
    command = [sys.executable, "-m", "server", "--data-dir", str(tmp_path / "data"), "--port", str(free_port())]
    if as_first_process:
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
        if os.geteuid() or subprocess.run([*command[:5], "true"], capture_output=True, check=False).returncode:
            pytest.skip("needs to make a container, which takes root and the right to")
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment_of(command)) as process:
        assert process.stderr is not None
        try:
            deadline = time.monotonic() + 30
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            while time.monotonic() < deadline:
                pid = int((children.read_text().split() or ["0"])[0]) if as_first_process else process.pid
                if pid and catches_sigterm(pid):
                    break
                time.sleep(0.01)
            assert not (tmp_path / "data").exists()  # It heeds the signal long before it serves.
            time.sleep(delay)
            os.kill(pid, signal.SIGTERM)
            assert process.wait(_GONE_SECONDS) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def test_the_image_names_its_user_by_number() -> None:
    """Kubernetes' `runAsNonRoot` cannot tell whether a name is root's."""
    assert re.findall(r"^USER (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == ["999:999"]


@pytest.mark.parametrize(
    ("flags", "environment", "status", "message"),
    [
        (("--host", "0.0.0.0"), {}, 2, "--insecure"),
        (("--port", "0"), {}, 2, "port"),
        (("--port", "http"), {}, 2, "port"),
        (("--no-such-flag",), {}, 2, "no-such-flag"),
        (("--engine", "steam"), {}, 2, "engine"),
        (("--queue-images", "10"), {}, 2, "max-images"),
        ((), {"HEADSTART_PORT": "99999"}, 2, "port"),
        ((), {"HEADSTART_PROT": "8000"}, 2, "HEADSTART_PROT"),
        (("--bundle", "nothing@1"), {}, 1, "nothing@1 is unknown"),
        (("--engine", "torchscript", "--bundle", PAPER_BUNDLE), {}, 1, "backbone.ts"),
    ],
)
def test_settings_that_make_no_sense_stop_the_start_with_one_line(
    tmp_path: Path, flags: tuple[str, ...], environment: dict[str, str], status: int, message: str
) -> None:
    ended = run_server("--data-dir", str(tmp_path / "data"), *flags, folder=tmp_path, **environment)
    assert ended.returncode == status, ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("headstart-server: ")
    assert message in last
    assert "Traceback" not in ended.stderr


def test_a_bundle_under_the_id_of_a_shipped_one_is_refused(tmp_path: Path, shipped_bundle: Path) -> None:
    name, version = shipped_bundle.parts[-2:]
    copy_bundle(shipped_bundle, tmp_path / "bundles", name, version)
    ended = run_server("--data-dir", str(tmp_path / "data"), "--bundles-dir", str(tmp_path / "bundles"), folder=tmp_path)
    assert ended.returncode == 1
    assert f"{name}@{version} is the id of a shipped bundle" in ended.stderr.splitlines()[-1]


def test_variables_of_the_client_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever uses the client in a shell may start a server there."""
    monkeypatch.setenv("HEADSTART_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("HEADSTART_TOKEN", "secret")
    assert load_settings(["--port", "8123"]).port == 8123


def test_flags_beat_the_environment(tmp_path: Path) -> None:
    ended = run_server("--data-dir", str(tmp_path), "--bundle", "flag@1", folder=tmp_path, HEADSTART_BUNDLE="environment@1")
    assert "flag@1" in ended.stderr


def test_help_names_every_setting(tmp_path: Path) -> None:
    ended = run_server("--help", folder=tmp_path)
    assert ended.returncode == 0
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in ended.stdout


def test_a_port_in_use_is_told(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    with ServerProcess(tmp_path / "data", *small_flags) as process:
        port = process.url.rpartition(":")[2]
        other = run_server("--data-dir", str(tmp_path / "other"), "--port", port, folder=tmp_path)
        assert other.returncode == 1
        assert other.stderr.startswith(f"headstart-server: cannot listen on 127.0.0.1:{port}")
        assert httpx.get(f"{process.url}/readyz").status_code == 200


@pytest.mark.sqlite("one server alone may open it")
def test_a_data_directory_in_use_is_told(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    with ServerProcess(tmp_path / "data", *small_flags) as process:
        same = run_server("--data-dir", str(tmp_path / "data"), folder=tmp_path)
        assert same.returncode == 1
        assert "in use by another server" in same.stderr.splitlines()[-1]
        assert httpx.get(f"{process.url}/readyz").status_code == 200
