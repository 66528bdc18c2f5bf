import subprocess
import sys
from pathlib import Path

import psutil

from benchmarks.postgres_server import PostgresServer
from benchmarks.server_process import ROOT
from tests.helpers.waiting import wait_until


def test_what_was_committed_outlives_a_kill_and_a_fail_over() -> None:
    with PostgresServer() as primary:
        with primary.connect() as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        with primary.standby() as standby:
            primary.kill()
            primary.start()
            with primary.connect() as connection:
                assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
            primary.kill()
            standby.promote()
            with standby.connect() as connection:
                connection.execute("INSERT INTO kept VALUES (2)")
                assert connection.execute("SELECT number FROM kept ORDER BY number").fetchall() == [(1,), (2,)]
    assert not primary.folder.exists()
    assert not standby.folder.exists()


def test_what_a_killed_process_left_goes_with_the_next_start() -> None:
    program = (
        "from benchmarks.postgres_server import PostgresServer; "
        "server = PostgresServer(); print(server.folder, server._process.pid, flush=True); input()"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder, server = process.stdout.readline().split()
        with PostgresServer():
            assert Path(folder).exists(), "its process lives"
        process.kill()
    wait_until(lambda: not psutil.pid_exists(int(server)))
    with PostgresServer() as other:
        assert not Path(folder).exists()
        assert other.folder.exists()
