"""The systemd unit and the compose file: read by their own programs, and what they ask for imposed on a real server."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest
import yaml

from benchmarks.server_process import ROOT, Process
from tests.helpers.images import encode, photograph
from tests.helpers.programs import output_of, program
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE, RealServer
from tests.helpers.uploads import create, predict

UNIT = ROOT / "deploy" / "headstart-server.service"
COMPOSE = ROOT / "deploy" / "compose.yaml"


class ConfinedServer(RealServer):
    """A server that another command starts."""

    def __init__(self, data_dir: Path, *flags: str, by: list[str]) -> None:
        self._by = by
        super().__init__(data_dir, *flags)

    def _launched(self, arguments: list[str], log: BinaryIO) -> Process:
        command = [*self._by, sys.executable, "-W", "error", "-m", "server", *arguments]
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=self._environment(arguments))


def use(server: ConfinedServer, support: Labelled) -> None:
    """Learns, recognises, decodes in a process of its own, forgets, and stops."""
    large = encode(photograph(1200, 1000))
    with httpx.Client(base_url=server.url, timeout=60) as api:
        task = create(api, support)["id"]
        assert len(predict(api, task, [support[0][1], large])) == 2
        reply = api.delete(f"/v1/tasks/{task}")
        assert reply.status_code == 204, reply.text + server.log()
        assert api.get("/readyz").json()["status"] == "ready"
    assert server.stop() == 0, server.log()


def test_systemd_has_nothing_against_the_unit(tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    installed = tmp_path / UNIT.name
    installed.write_text(UNIT.read_text().replace("/opt/headstart/bin/headstart-server", shutil.which("true") or ""))
    assert output_of(analyze, "verify", installed) == ""
    exposure = output_of(analyze, "security", "--offline=true", "--threshold=20", installed)
    assert "Overall exposure level" in exposure


@pytest.mark.skipif(sys.platform != "linux", reason="system calls of Linux are filtered")
def test_the_server_needs_no_more_than_the_unit_gives(tmp_path: Path, support: Labelled) -> None:
    """It neither writes to memory that it executes nor makes system calls beyond those of services. Where the test may mount, all
    but the data is read-only too, as `ProtectSystem=strict` and the container have it, and there are no capabilities.
    """
    program("systemd-analyze", "systemd")
    data = tmp_path / "data"
    data.mkdir()
    strict = f'mount --bind {data} {data} && mount -o remount,bind,ro / && exec setpriv --bounding-set=-all "$@"'
    by = ["unshare", "--mount", "sh", "-c", strict, "sh"]
    if os.geteuid() or subprocess.run([*by, "true"], capture_output=True, check=False).returncode:
        by = []
    else:
        assert "Read-only file system" in output_of(*by, "touch", str(tmp_path / "elsewhere"), status=1)
    by += [sys.executable, str(ROOT / "tests" / "helpers" / "confined.py"), str(UNIT)]
    maps_writable_code = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
    assert "PermissionError" in output_of(*by, sys.executable, "-c", maps_writable_code, status=1)
    with ConfinedServer(data, "--engine", FAST_ENGINE, by=by) as server:
        use(server, support)


def test_compose_takes_its_file() -> None:
    compose = program("docker-compose", "docker-compose")
    services = yaml.safe_load(output_of(compose, "-f", COMPOSE, "--profile", "monitoring", "config"))["services"]
    assert services.keys() == {"headstart", "prometheus", "grafana"}
    for service in services.values():
        for volume in service["volumes"]:
            source = (volume["source"] if isinstance(volume, dict) else volume).split(":")[0]
            assert not source.startswith("/") or Path(source).exists(), source


def test_the_container_is_as_the_image_has_it() -> None:
    """Its user, its port, its volume and its health check are those of the Dockerfile."""
    image = (ROOT / "Dockerfile").read_text()
    service = yaml.safe_load(COMPOSE.read_text())["services"]["headstart"]
    assert f"USER {service['user']}" in image
    assert service["volumes"] == [f"data:{re.findall('^VOLUME (.*)$', image, re.MULTILINE)[0]}"]
    assert service["ports"] == [f"127.0.0.1:8000:{re.findall('^EXPOSE (.*)$', image, re.MULTILINE)[0]}"]
    assert '", "'.join(service["healthcheck"]["test"][1:]) in image
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
