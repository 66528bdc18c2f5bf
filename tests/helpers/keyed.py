"""A server that asks for keys, with a task of a tenant, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.uploads import Labelled, create


def key_of(data_dir: Path, scope: str = "manage", tenant: str = "default") -> str:
    """A new key, as the server's command makes it."""
    made = run_server("keys", "create", "--tenant", tenant, "--scope", scope, "--data-dir", str(data_dir), folder=data_dir.parent)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@dataclass(frozen=True)
class Keyed:
    """The server, a key of the tenant `default`, one of another tenant, and a task of the first."""

    process: ServerProcess
    api: httpx.Client
    key: str
    foreign: str
    task: str

    @property
    def url(self) -> str:
        return self.process.url


@contextmanager
def keyed_server(folder: Path, examples: Labelled, *flags: str) -> Iterator[Keyed]:
    data_dir = folder / "data"
    key, foreign = key_of(data_dir), key_of(data_dir, tenant="other")
    with (
        ServerProcess(data_dir, *flags) as process,
        httpx.Client(base_url=process.url, timeout=60, headers={"Authorization": f"Bearer {key}"}) as api,
    ):
        yield Keyed(process, api, key, foreign, create(api, examples)["id"])
