"""Server processes that start fast, for tests."""

import multiprocessing
import os
import runpy
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

from benchmarks import server_process
from benchmarks.server_process import ROOT
from models.bundle import PAPER_BUNDLE

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.helpers.server_imports"])


class ServerProcess(server_process.ServerProcess):
    """A real server in a process of its own, forked from one that has imported the server's modules.

    It runs float32 unless the flags say otherwise: `auto` measures at every start whether int8 pays.
    """

    def __init__(self, data_dir: Path, *flags: str, bundle: str | None = PAPER_BUNDLE, until: str = "/readyz") -> None:
        engine = () if "--engine" in flags else ("--engine", "onnx")
        super().__init__(data_dir, *engine, *flags, bundle=bundle, until=until)

    @staticmethod
    def _launched(arguments: list[str], log: BinaryIO) -> "_Forked":
        return _Forked(arguments, Path(log.name), Path(log.name), dict(os.environ))


def run_server(*flags: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`python -m server` with these flags, which ends by itself.

    Args:
        folder: for what it prints.
        environment: beside this process's own.
    """
    out, err = (folder / f"{secrets.token_hex(4)}-{name}" for name in ("out", "err"))
    out.touch()
    err.touch()
    status = _Forked(list(flags), out, err, {**os.environ, **environment}).wait(60)
    return subprocess.CompletedProcess(flags, status, out.read_text(), err.read_text())


class _Forked:
    """A forked process, with the interface of `subprocess.Popen`."""

    def __init__(self, arguments: list[str], out: Path, err: Path, environment: dict[str, str]) -> None:
        self._process = _FORKS.Process(target=_serve, args=(arguments, out, err, environment))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError(f"process {self.pid} did not end in {timeout} s")
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _serve(arguments: list[str], out: Path, err: Path, environment: dict[str, str]) -> None:
    """Do in a forked process what `python -m server` does in one of its own."""
    for number, path in ((1, out), (2, err)):
        target = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(target, number)
        os.close(target)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["server", *arguments]
    runpy.run_module("server", run_name="__main__", alter_sys=True)
