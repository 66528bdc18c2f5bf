"""Server processes that start fast, for tests."""

import io
import multiprocessing
import os
import runpy
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from benchmarks import server_process
from benchmarks.server_process import ROOT
from models.bundle import PAPER_BUNDLE
from models.engine import EngineKind
from models.processor import has_int8_instructions
from tests.helpers.databases import begin_empty, database_url, kind

FAST_ENGINE: EngineKind = "onnx-int8" if has_int8_instructions() else "onnx"
"""The engine that embeds fastest with the bundle that tests use: int8 takes a quarter of float32's time where it pays at all."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.helpers.server_imports"])


class RealServer(server_process.ServerProcess):
    """`python -m server`, whose database is where the running test's stores are."""

    def _environment(self, arguments: list[str]) -> dict[str, str]:
        return environment_of(arguments)


class ServerProcess(RealServer):
    """A real server in a process of its own, forked from one that has imported the server's modules.

    It runs float32 unless the flags say otherwise: `auto` measures at every start whether int8 pays. One process serves, however
    many cores there are. A data directory that is not there is made with an empty database.

    Args:
        prepare: called in the process before it does anything else; a function that can be pickled.
    """

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        bundle: str | None = PAPER_BUNDLE,
        until: str = "/readyz",
        port: int | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._prepare = prepare
        if kind() == "sqlite" and "--database-url" not in flags and not data_dir.exists():
            data_dir.mkdir(mode=0o700)
            begin_empty(data_dir)
        engine = () if "--engine" in flags else ("--engine", "onnx")
        super().__init__(data_dir, *engine, "--workers", "1", *flags, bundle=bundle, until=until, port=port)

    def _launched(self, arguments: list[str], log: BinaryIO) -> "_Forked":
        return _Forked(arguments, Path(log.name), Path(log.name), self._environment(arguments), self._prepare)


def give_up_erasing_soon() -> None:
    """For `prepare`: a removal whose bytes another program holds back is answered after a third of a second, not after six."""
    from server.journeys import forget

    forget._ERASING_ATTEMPTS = 2


def run_server(*flags: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`python -m server` with these flags, which ends by itself.

    Args:
        folder: for what it prints.
        environment: beside this process's own.
    """
    out, err = (folder / f"{secrets.token_hex(4)}-{name}" for name in ("out", "err"))
    out.touch()
    err.touch()
    status = _Forked(list(flags), out, err, {**environment_of(flags), **environment}).wait(60)
    printed = [path.read_text(environment.get("PYTHONIOENCODING")) for path in (out, err)]
    return subprocess.CompletedProcess(flags, status, *printed)


def environment_of(arguments: Sequence[str]) -> dict[str, str]:
    """This process's environment, by which a server also finds its data folder's database where the test's stores are."""
    if kind() == "sqlite" or "--data-dir" not in arguments:
        return dict(os.environ)
    folder = Path(arguments[arguments.index("--data-dir") + 1])
    return {**os.environ, "HEADSTART_DATABASE_URL": database_url(folder)}


class _Forked:
    """A forked process, with the interface of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: list[str],
        out: Path,
        err: Path,
        environment: dict[str, str],
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._process = _FORKS.Process(target=_serve, args=(arguments, out, err, environment, prepare))
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


def _serve(arguments: list[str], out: Path, err: Path, environment: dict[str, str], prepare: Callable[[], None] | None) -> None:
    """Do in a forked process what `python -m server` does in one of its own."""
    for number, path in ((1, out), (2, err)):
        target = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(target, number)
        os.close(target)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if encoding := environment.get("PYTHONIOENCODING"):  # which the interpreter obeys at its start
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), encoding=encoding, write_through=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w"), encoding=encoding, errors="backslashreplace", write_through=True)
    if prepare is not None:
        prepare()
    sys.argv = ["server", *arguments]
    runpy.run_module("server", run_name="__main__", alter_sys=True)
