"""The Helm chart's settings, probes and first key, with a real server."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from benchmarks.server_process import ROOT, first_key
from server.commands.keys import keys_command
from tests.helpers.charts import CHART, environment_of, pod_of, render, server_of, settings_of
from tests.helpers.servers import ServerProcess


def without_keys(folder: Path) -> Path:
    """Returns a database that never had a key, as a server with `--insecure` leaves it."""
    first_key(folder)
    database = folder / "headstart.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM keys")
    return database


@pytest.mark.sqlite("the chart's pods wait for its file")
def test_the_server_starts_once_the_notes_command_has_made_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = without_keys(tmp_path / "elsewhere")
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    (noted,) = re.findall(r"-c first-key -- \\\s+/opt/headstart/bin/headstart-server keys (.*)", notes)
    manifests = render({})
    (waiting,) = pod_of(manifests)["initContainers"]
    script = waiting["args"][0].replace("/opt/headstart/bin/headstart-server", f"{sys.executable} -m server")
    script = script.replace("sleep 2", "sleep 0.1")
    environment = {**os.environ, **environment_of(manifests), "HEADSTART_DATA_DIR": str(tmp_path)}
    with subprocess.Popen([*waiting["command"], script], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as waits:
        try:
            assert waits.stderr is not None
            assert "there is no database" in waits.stderr.readline()
            database.rename(tmp_path / database.name)
            while "there is no database" in (said := waits.stderr.readline()):
                pass
            assert said == waits.stderr.readline()  # It has looked once more.
            monkeypatch.setenv("HEADSTART_DATA_DIR", str(tmp_path))
            while keys_command(shlex.split(noted)):  # The loop has the database open for moments.
                pass
            assert waits.wait(30) == 0
        finally:
            waits.terminate()


def test_probes_and_names_of_the_service_are_answered(
    tmp_path: Path, small_flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = render({"allowedHosts": ["api.example.org"]})
    settings_of(manifests, monkeypatch)
    first_key(tmp_path / "data")
    with (
        ServerProcess(tmp_path / "data", *small_flags, "--host", "127.0.0.1") as server,
        httpx.Client(base_url=server.url) as api,
    ):
        for name in ("startup", "readiness", "liveness"):
            probe = server_of(manifests)[f"{name}Probe"]["httpGet"]
            headers = {header["name"]: header["value"] for header in probe["httpHeaders"]}
            assert api.get(probe["path"], headers=headers).status_code == 200
        hosts = ("api.example.org", "headstart", "headstart.birds.svc.cluster.local", "10.1.2.3:8000", "example.com")
        assert [api.get("/healthz", headers={"Host": host}).status_code for host in hosts] == [200, 200, 200, 200, 421]
