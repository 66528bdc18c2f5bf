"""The replicas of a drill, and HAProxy before them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from benchmarks.drill.network import Network
from benchmarks.server_process import ROOT
from models.bundle import PAPER_BUNDLE

PORT = 8000
_START_SECONDS = 120.0
_FREE_ENGINE = ROOT / "benchmarks" / "serving" / "free_engine.py"
_CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"


class Replica:
    """A server in a namespace, on the database that all replicas share.

    Its engine costs nothing: it takes pixels for embeddings. So an ordinary machine has the time for all programs of a drill.

    Args:
        node: `r1`, `r2` or `r3`.
    """

    def __init__(self, network: Network, node: str, folder: Path, database: str) -> None:
        self.node = node
        self.url = f"http://{Network.address(node, 'front')}:{PORT}"
        self.tree = ROOT
        self._network = network
        self._folder = folder
        self._log = folder / f"{node}.log"
        self._arguments = [
            "-P",
            str(_FREE_ENGINE),
            "--host",
            "0.0.0.0",  # noqa: S104 -- in a network of its own
            "--port",
            str(PORT),
            "--insecure",
            "--database-url",
            database,
        ]
        self._arguments += [
            "--data-dir",
            str(folder / node),
            "--bundle",
            PAPER_BUNDLE,
            "--engine",
            "onnx",
            "--drain-seconds",
            "3",
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it from `tree`. Returns when it is ready."""
        command = self._network.inside(self.node, sys.executable, *self._arguments)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(self.tree)}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 -- the command is ours
                command, cwd=self.tree, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.node} ended with status {self.process.returncode}:\n{self.log()[-3000:]}")
            if self.is_ready():
                return
            time.sleep(0.25)
        raise RuntimeError(f"{self.node} was not ready in time:\n{self.log()[-3000:]}")

    def is_ready(self) -> bool:
        """Returns whether it says that it can serve."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """Kills it, so that it gets no chance to finish anything."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def log(self) -> str:
        """Returns its output."""
        return self._log.read_text()

    def close(self) -> None:
        """Ends it if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()


class Balancer:
    """HAProxy with the configuration of `deploy/haproxy.cfg`, except for the addresses of the servers."""

    def __init__(self, network: Network, folder: Path, replicas: Sequence[Replica]) -> None:
        self.url = f"http://{Network.address('lb', 'front')}:{PORT}"
        servers = "\n".join(f"    server {each.node} {each.url.removeprefix('http://')}" for each in replicas)
        text = re.sub(r"( +server \w+ 10\.0\.0\.\d+:\d+\n?)+", f"{servers}\n", _CONFIGURATION.read_text())
        file = folder / "haproxy.cfg"
        file.write_text(text)
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        with (folder / "haproxy.log").open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 -- the command is ours
                network.inside("lb", program, "-db", "-f", str(file)), stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"HAProxy does not serve:\n{(folder / 'haproxy.log').read_text()}")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()


def next_release(before: Path, folder: Path) -> Path:
    """Copies the tree `before` into `folder`, with one migration more, which adds a column to the tasks. Returns the copy."""
    versions = Path("server", "store", "migrations", "versions")
    last = max(path.name[:4] for path in (before / versions).glob("[0-9]*.py"))
    following = f"{int(last) + 1:04d}"
    tree = folder / f"release-{following}"
    tree.mkdir()
    for name in ("models", "benchmarks", "clients", "pyproject.toml"):
        (tree / name).symlink_to(ROOT / name)
    shutil.copytree(before / "server", tree / "server", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / versions / f"{following}_drill.py").write_text(_MIGRATION.format(following=following, last=last))
    tables = tree / "server" / "store" / "tables.py"
    key = '    PrimaryKeyConstraint("tenant", "id", name="pk_tasks"),\n'
    text = tables.read_text()
    assert text.count(key) == 1
    tables.write_text(text.replace(key, f'    Column("drilled_{following}", String, nullable=True),\n{key}'))
    return tree


_MIGRATION = '''"""A column more."""

import sqlalchemy as sa
from alembic import op

revision = "{following}"
down_revision = "{last}"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("drilled_{following}", sa.String, nullable=True))
'''
