"""A disk that takes what is written to it and then fails to say that it has it: strace makes `fsync` fail."""

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.server_process import ROOT
from server.errors import StorageFailed
from server.ids import new_id
from server.store.records import Asked, ReplayExists, Task, TaskKey
from server.store.store import Store, sqlite_url
from tests.helpers.stored import create, head_of, new_examples

pytestmark = pytest.mark.slow

T = "default"


def create_with_key(store: Store) -> Task:
    labels = ["cat", "dog"]
    asked = Asked("the key", "fingerprint")
    return store.tasks.create(TaskKey(T, new_id("task")), "pets", new_examples(labels), head_of(labels), asked)


def victim(url: str) -> None:
    """Creates a task when told to, says how that ended, and waits to be killed."""
    store = Store.open(url)
    create(store)  # Before the first frame of a log its head is written, and waited for.
    print("open", flush=True)
    sys.stdin.readline()
    try:
        create_with_key(store)
        print("stored", flush=True)
    except StorageFailed as error:
        print(error.detail, flush=True)
    sys.stdin.readline()


def test_a_change_that_may_have_been_stored_is_said_to_be_and_a_retry_makes_no_second_one(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    command = [sys.executable, "-c", f"from tests.faults.test_failing_disk import victim; victim({sqlite_url(tmp_path)!r})"]
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
        there = {task.id for task in store.tasks.page(T, None, 10)[0]}
        assert len(there) == 2  # The answer that nothing was changed would have been wrong.
        with pytest.raises(ReplayExists):
            create_with_key(store)
        assert {task.id for task in store.tasks.page(T, None, 10)[0]} == there
