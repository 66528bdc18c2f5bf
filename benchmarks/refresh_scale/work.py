"""A refresh of real tasks by several real servers, and the processor time that it takes."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.postgres_server import PostgresServer
from benchmarks.server_process import ServerProcess
from benchmarks.shared.setting import processor_seconds

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Work:
    """A refresh that has ended.

    Attributes:
        servers: how many worked on it.
        tasks: how many it moved.
        seconds: from its beginning to its end.
        server_seconds, database_seconds: processor time of all servers and of PostgreSQL.
    """

    servers: int
    tasks: int
    seconds: float
    server_seconds: float
    database_seconds: float

    @property
    def per_task(self) -> float:
        """Processor milliseconds of a task."""
        return 1e3 * (self.server_seconds + self.database_seconds) / self.tasks


def refresh(folder: Path, target: str, servers: int, postgres: PostgresServer | None, flags: Sequence[str]) -> Work:
    """Has all tasks moved by so many servers.

    Args:
        postgres: None where one server has a file of SQLite in the folder.
    """
    with ExitStack() as stack:
        started = [stack.enter_context(ServerProcess(folder / f"data{number}", *flags)) for number in range(servers)]
        api = stack.enter_context(httpx.Client(base_url=started[0].url, timeout=120))
        for each in started:  # Opening a bundle is no part of the work.
            httpx.post(f"{each.url}/v1/backbones", json={"id": target}, timeout=120).raise_for_status()

        def taken() -> tuple[float, float]:
            return sum(processor_seconds(each.process.pid) for each in started), postgres.processor_seconds() if postgres else 0.0

        before, began = taken(), time.perf_counter()
        path = api.post("/v1/refreshes", json={"to": target, "max_drop": 1.0}).raise_for_status().headers["location"]
        while (state := api.get(path).raise_for_status().json())["state"] == "running":
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - began
        own, database = (after - earlier for after, earlier in zip(taken(), before, strict=True))
        return Work(servers, state["tasks"]["moved"], seconds, own, database)
