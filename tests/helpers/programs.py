"""Programs of the system that tests use."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def program(name: str, package: str) -> str:
    """Returns where a program is. Without it the test is skipped, but not where `CI` is set.

    Args:
        package: of Debian, that has it.
    """
    return installed(name, f"on Debian: apt-get install {package}")


def installed(name: str, remedy: str) -> str:
    """Returns where a program is, on the path or beside Python. Without it the test is skipped, but not where `CI` is set."""
    found = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
    if found is None:
        missing = f"{name} is missing ({remedy})"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def output_of(*command: str | os.PathLike[str], status: int = 0) -> str:
    """Returns all that a command prints, which must end with that status."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stdout
    return done.stdout
