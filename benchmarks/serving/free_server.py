"""A server process whose engine costs nothing."""

import os
import subprocess
import sys
from typing import BinaryIO

from benchmarks.server_process import ROOT, ServerProcess

_PROGRAM = ROOT / "benchmarks" / "serving" / "free_engine.py"


class FreeServer(ServerProcess):
    """A server whose engine costs nothing."""

    def _launched(self, arguments: list[str], log: BinaryIO) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-P", str(_PROGRAM), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(  # noqa: S603 -- the command is ours
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
