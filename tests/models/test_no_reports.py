"""Nothing that is imported here reports to its maker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.server_process import ROOT


@pytest.mark.parametrize("imported", ["models.engine", "training, onnxruntime"])
def test_onnx_runtime_makes_no_identifier_of_the_machine(imported: str, tmp_path: Path) -> None:
    """It would make one before it sends anything, except where `CI` is set."""
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"import {imported}"],
        cwd=ROOT,
        env={**environment, **homes},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert list(tmp_path.rglob("*")) == []
