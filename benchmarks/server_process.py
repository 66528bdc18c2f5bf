"""A real server process over real HTTP, for benchmarks and tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import httpx

from models.bundle import PAPER_BUNDLE

ROOT = Path(__file__).parents[1]
_START_SECONDS = 60.0


def free_port() -> int:
    """Returns a port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def first_key(data_dir: Path, tenant: str = "default", database: str | None = None) -> str:
    """Makes a `manage` key of a tenant, from which on a server on this folder, or on this database, asks for keys."""
    command = [sys.executable, "-m", "server", "keys", "create", "--tenant", tenant, "--scope", "manage"]
    command += ["--data-dir", str(data_dir)] if database is None else ["--database-url", database]
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603 -- the command is ours
    return made.stdout.strip()


class Process(Protocol):
    """The part of `subprocess.Popen` that is used of a process."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | Any: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, number: int) -> None: ...

    def kill(self) -> None: ...


class ServerProcess:
    """`python -m server` on a free port of this machine; ready when constructed, stopped with its context.

    Args:
        data_dir: the database's folder, which outlives the process.
        flags: further command-line flags.
        bundle: the bundle of new tasks, unless the flags name one; None leaves it to the server.
        until: the path that answers 200 when it is ready.
        port: None for a free one.
    """

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        bundle: str | None = PAPER_BUNDLE,
        until: str = "/readyz",
        port: int | None = None,
    ) -> None:
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log_path = data_dir.with_name(f"{data_dir.name}-{port}.log")
        arguments = ["--port", str(port), "--data-dir", str(data_dir), *flags]
        if bundle is not None and "--bundle" not in flags:
            arguments += ["--bundle", bundle]
        with self.log_path.open("wb") as log:
            self.process = self._launched(arguments, log)
        self._wait_until_ready(until)

    def _launched(self, arguments: list[str], log: BinaryIO) -> Process:
        command = [sys.executable, "-W", "error", "-m", "server", *arguments]
        environment = {**self._environment(arguments), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)  # noqa: S603 -- the command is ours

    def _environment(self, _arguments: list[str]) -> dict[str, str]:
        return dict(os.environ)

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """Sends SIGKILL, so that the process gets no chance to finish anything."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        """Returns the process's output."""
        return self.log_path.read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.stop()

    def _wait_until_ready(self, until: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        address = self.url.removeprefix("http://").split(":")
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with status {self.process.returncode}:\n{self.log()}")
            try:
                socket.create_connection((address[0], int(address[1])), timeout=1).close()  # costs less than a client
                # A request that was given up would be answered later, and counted in the metrics.
                if httpx.get(f"{self.url}{until}", timeout=max(1.0, deadline - time.monotonic())).status_code == 200:
                    return
            except (OSError, httpx.TransportError):
                pass
            time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"the server was not ready in {_START_SECONDS:g} s:\n{self.log()}")
