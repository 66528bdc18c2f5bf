"""A PostgreSQL server of the tests' own."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.server_process import free_port
from server.store.postgres_database import PostgresDatabase

_BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path())


@dataclass(frozen=True)
class Database:
    """An empty database, whose schema is that of this release."""

    url: str

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, if it has any."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []


class PostgresServer:
    """A server in a temporary folder. It runs as another user where the tests run as root, since it refuses to run as root."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="headstart-postgres-"))
        self._user = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
        os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self.port = free_port()
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "headstart", "--locale=C.UTF-8", "-E", "UTF8", "--no-sync")
        self.start()
        self._execute("CREATE DATABASE template")
        PostgresDatabase.open(self._url("template")).close()

    def database(self) -> Database:
        name = f"test_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE template STRATEGY FILE_COPY")
        return Database(self._url(name))

    def start(self) -> None:
        self._pg_ctl("start", "-o", f"-p {self.port} -c fsync=off -c listen_addresses=127.0.0.1 -k {self._folder}", "-l", "log")

    def stop(self) -> None:
        self._pg_ctl("stop", "-m", "fast")

    def close(self) -> None:
        self._pg_ctl("stop", "-m", "immediate")
        shutil.rmtree(self._folder)

    def _url(self, database: str) -> str:
        return f"postgresql://headstart@127.0.0.1:{self.port}/{database}"

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", "data", "-w", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        identity: dict[str, Any] = (
            {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
        )
        subprocess.run(
            [_BIN / program, *arguments],
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **identity,
        )
