"""`make test` with several workers: the tests of a file run in one of them, which starts what they share once."""

import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.server_process import ROOT

_FILES = 6
_WRITES_ITS_PROCESS = """
import os
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range(4))
def test_which(number):
    Path(__file__).with_suffix(f".{number}").write_text(str(os.getpid()))
"""


def test_the_tests_of_a_file_run_in_one_worker(tmp_path: Path) -> None:
    (flags,) = re.findall(r"^PYTEST = .* -m pytest (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for number in range(_FILES):
        (tmp_path / f"test_{number}.py").write_text(_WRITES_ITS_PROCESS)
    command = [sys.executable, "-m", "pytest", "-p", "xdist", *flags.split(), "-n", "2", "--rootdir", ".", "-c", "/dev/null", "."]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # Others take seconds to import.
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    workers = [{path.read_text() for path in tmp_path.glob(f"test_{number}.[0-3]")} for number in range(_FILES)]
    assert [len(each) for each in workers] == [1] * _FILES
    assert len(set.union(*workers)) == 2
