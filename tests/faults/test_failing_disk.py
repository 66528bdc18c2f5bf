"""A disk that takes what is written to it and then fails to say that it has it: strace makes `fsync` fail."""

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.server_process import ROOT
from server.store.records import ReplayExists
from server.store.store import Store, sqlite_url
from tests.helpers.keyed_writer import TENANT, create_with_key

pytestmark = [pytest.mark.slow, pytest.mark.sqlite("strace fails the writes of its files")]


def test_a_change_that_may_have_been_stored_is_said_to_be_and_a_retry_makes_no_second_one(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    command = [sys.executable, "-m", "tests.helpers.keyed_writer", sqlite_url(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        calls = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]
        with subprocess.Popen(["strace", "-f", "-p", str(process.pid), *calls], stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            if "attached" not in strace.stderr.readline():
                process.kill()
                pytest.skip("strace may not attach to processes here")
            process.stdin.write("go\n")
            process.stdin.flush()
            said = process.stdout.readline()
            process.kill()
            strace.kill()  # On some kernels it waits for ever for threads that were killed.
    assert "may have been stored: retry with the same key" in said
    with closing(Store.open(sqlite_url(tmp_path))) as store:
        there = {task.id for task in store.tasks.page(TENANT, None, 10)[0]}
        assert len(there) == 2  # The answer that nothing was changed would have been wrong.
        with pytest.raises(ReplayExists):
            create_with_key(store)
        assert {task.id for task in store.tasks.page(TENANT, None, 10)[0]} == there
