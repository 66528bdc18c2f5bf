"""The database of a drill: a primary of PostgreSQL and a synchronous standby, each in a namespace of its own."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from benchmarks.drill import network
from benchmarks.drill.network import Network
from benchmarks.shared.setting import family

_PROGRAMS = Path("/usr/lib/postgresql")
_USER = "headstart"
_SETTINGS = {
    "listen_addresses": "*",
    "unix_socket_directories": "",
    "max_connections": "120",
    "shared_buffers": "64MB",
    "wal_keep_size": "256MB",
    "wal_retrieve_retry_interval": "500ms",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "wal_receiver_status_interval": "1s",
}
_PATIENCE_SECONDS = 60.0


def programs() -> Path | None:
    """Returns the folder of Debian's programs of PostgreSQL; None where it is not installed."""
    found = sorted(_PROGRAMS.glob("*/bin/postgres"))
    return found[-1].parent if found else None


def missing() -> str | None:
    """Returns what this machine lacks for a cluster in a network of its own, in words; None if nothing."""
    return network.missing() or (None if programs() else "PostgreSQL is missing (apt-get install postgresql)")


class Cluster:
    """A primary and a standby without whose copy nothing is acknowledged. They take turns in these parts.

    Attributes:
        primary: the node of the primary.
        standby: the node of the standby, `pg1` or `pg2` as well.
    """

    def __init__(self, nodes: Network, folder: Path) -> None:
        self._network = nodes
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        found = programs()
        assert found is not None
        self._programs = found
        self.primary, self.standby = "pg1", "pg2"
        folder.mkdir()
        shutil.chown(folder, "postgres", "postgres")
        self._run("initdb", "-A", "trust", "-U", _USER, "-E", "UTF8", "--locale=C", "-D", str(folder / "pg1"))
        with (folder / "pg1" / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.77.2.0/24 trust\nhost replication all 10.77.2.0/24 trust\n")
        with (folder / "pg1" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
        try:
            self.start(self.primary)
            self.add_standby()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """The URL by which a server finds whichever of the two is the primary."""
        hosts = "&".join(f"host={Network.address(node, 'back')}:5432" for node in ("pg1", "pg2"))
        return f"postgresql://{_USER}@/postgres?{hosts}&target_session_attrs=read-write"

    def ask(self, statement: str, parameters: tuple[Any, ...] = (), node: str | None = None) -> list[tuple[Any, ...]]:
        """Returns the rows of a statement, executed by the primary or by a node."""
        host = Network.address(node or self.primary, "back")
        with psycopg.connect(host=host, user=_USER, dbname="postgres", autocommit=True, connect_timeout=2) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def start(self, node: str) -> None:
        """Starts a node. Returns when it answers."""
        command = self._network.inside(
            node, *_AS_POSTGRES, "--pdeathsig", "INT", str(self._programs / "postgres"), "-D", str(self._folder / node)
        )
        with (self._folder / f"{node}.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")  # noqa: S603 -- ours
        self._until(lambda: self.ask("SELECT 1", node=node))

    def stop(self, node: str) -> None:
        """Stops a node as an operator would: connections are cut."""
        self._processes[node].send_signal(signal.SIGINT)
        self._processes[node].wait(_PATIENCE_SECONDS)

    def kill(self, node: str) -> None:
        """Kills a node and each of its processes."""
        for number in family(self._processes[node].pid):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._processes[node].wait()

    def promote(self) -> None:
        """Makes the standby the primary. Returns when it takes changes. Until there is a new standby, it waits for none."""
        self.primary, self.standby = self.standby, self.primary
        self.ask("SELECT pg_promote()")
        self._until(lambda: not self.ask("SELECT pg_is_in_recovery()")[0][0])

    def add_standby(self) -> None:
        """Makes a standby of the primary anew, and has the primary acknowledge nothing without it from then on."""
        shutil.rmtree(self._folder / self.standby, ignore_errors=True)
        host = Network.address(self.primary, "back")
        source = f"host={host} user={_USER} application_name=standby"
        target = str(self._folder / self.standby)
        self._run("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-d", source, "-D", target)
        with (self._folder / self.standby / "postgresql.auto.conf").open("a") as file:
            file.write("synchronous_standby_names = ''\n")
        self.start(self.standby)
        self._until(lambda: self.ask("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"))
        self.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.ask("SELECT pg_reload_conf()")
        self._until(lambda: self.ask("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"))

    def processor_seconds(self) -> float:
        """Returns the processor time of the primary and of all that it has started."""
        return float(sum(_processor(pid) for pid in family(self._processes[self.primary].pid)))

    def close(self) -> None:
        """Stops both."""
        for node, process in self._processes.items():
            if process.poll() is None:
                self.kill(node)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self.close()

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_AS_POSTGRES, str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)  # noqa: S603 -- the command is ours
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr}")

    @staticmethod
    def _until(holds: Any) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(psycopg.Error):
                if holds():
                    return
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL was not ready in time")


_AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")


def _processor(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # with those of children that have ended
