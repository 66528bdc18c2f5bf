"""Environments of Python for other programs, whose packages are none of this project's."""

import os
import subprocess
import venv
from pathlib import Path

from benchmarks.server_process import ROOT


def environment_with(folder: Path, *arguments: str | Path) -> Path:
    """Makes an environment in an empty folder, and returns its interpreter.

    Args:
        arguments: of `pip install`.
    """
    venv.create(folder, with_pip=True)
    interpreter = folder / "bin" / "python"
    subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *arguments], check=True)
    return interpreter


def heard(python: Path, *command: str | Path, seconds: float = 300, **variables: str) -> str:
    """Returns the last line that a program of that environment prints. A warning of its packages is none of ours.

    Args:
        variables: of the environment, beside this process's own.
    """
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [python, *command], cwd=ROOT, env={**own, **variables}, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()[-1]
