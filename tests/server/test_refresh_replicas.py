"""Real servers that share a PostgreSQL database work on one refresh, whichever of them is killed, and whatever one lacks."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from server.refresh import part
from server.store import refresh_rows
from server.store.tables import refresh_leases, refresh_tasks
from tests.helpers.bundles import SMALL, small_bundle
from tests.helpers.databases import database_url, statements_in
from tests.helpers.refreshes import begin, change, ended, look, moved, rolled_back, rows, until, versions
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE, ServerProcess
from tests.helpers.uploads import create

pytestmark = pytest.mark.postgresql

LEASE_SECONDS, WAIT_SECONDS = 2.0, 2.0


def sooner() -> None:
    """For `prepare`: a killed server is missed after two seconds, and so long another one is waited for that has a bundle."""
    refresh_rows.LEASE_SECONDS = LEASE_SECONDS
    part._WAIT_SECONDS = WAIT_SECONDS


class Replica(ServerProcess):
    """A server on the test's database."""

    def __init__(self, folder: Path, name: str, bundles: Path, default: str) -> None:
        where = ("--database-url", database_url(folder), "--bundles-dir", str(bundles))
        super().__init__(folder / name, "--engine", FAST_ENGINE, *where, "--bundle", default, prepare=sooner)
        self.api = httpx.Client(base_url=self.url, timeout=60)

    def __exit__(self, *error: Any) -> None:
        self.api.close()
        super().__exit__(*error)


@contextmanager
def replicas(folder: Path, *bundles: tuple[Path, str]) -> Iterator[list[Replica]]:
    """Servers, each with a folder of bundles and one for new tasks."""
    with ExitStack() as stack:
        yield [stack.enter_context(Replica(folder, f"data{number}", *each)) for number, each in enumerate(bundles)]


def claimed(folder: Path) -> dict[str, int]:
    """How many pending tasks each server has claimed, by the id of its lease."""
    query = select(refresh_tasks.c.lease, func.count().label("there")).where(refresh_tasks.c.lease.is_not(None))
    with statements_in(folder) as connection:
        return {row.lease: row.there for row in connection.execute(query.group_by(refresh_tasks.c.lease))}


def at_work(folder: Path) -> int:
    """How many servers have a part in a refresh."""
    with statements_in(folder) as connection:
        return connection.execute(select(func.count()).select_from(refresh_leases)).scalar_one()


def until_at_work(folder: Path, servers: int) -> float:
    """Waits until so many have a part in a refresh, and returns the seconds."""
    began = time.monotonic()
    while at_work(folder) != servers:
        assert time.monotonic() < began + 30
        time.sleep(0.02)
    return time.monotonic() - began


def check_once(api: httpx.Client, tasks: Sequence[str], bundle: str) -> None:
    """Each task was moved once, and answers on the bundle."""
    for task in tasks:
        assert [change for _, _, change, _ in versions(api, task)] == ["refreshed", "created"]
        assert api.get(f"/v1/tasks/{task}").json()["backbone"] == bundle


def test_a_pause_anywhere_holds_everywhere_and_whichever_is_killed_the_others_end_the_refresh(
    tmp_path: Path, int8_bundles: Path, shipped: str, support: Labelled
) -> None:
    with replicas(tmp_path, *[(int8_bundles, SMALL)] * 3) as (first, second, third):
        tasks = [create(first.api, support[:15])["id"] for _ in range(60)]
        id_ = begin(first.api, shipped, tasks)["id"]
        until(second.api, id_, lambda refresh: refresh["tasks"].get("moved", 0) >= 3 and (refresh["images_per_second"] or 0) > 0)
        until_at_work(tmp_path, 3)
        paused = change(second.api, id_, "pause")
        assert until_at_work(tmp_path, 0) < 2.0, "half a second, and what a busy machine takes"
        for each in (first, second, third):
            assert look(each.api, id_) == paused
        assert sum(len(versions(first.api, task)) for task in tasks) == 60 + paused["tasks"]["moved"]

        change(third.api, id_, "resume")
        until(third.api, id_, lambda _: len(claimed(tmp_path)) == 3)
        second.process.kill()
        until(third.api, id_, lambda refresh: refresh["tasks"]["moved"] >= paused["tasks"]["moved"] + 5)
        first.process.kill()
        refresh = ended(third.api, id_)
        assert (refresh["state"], refresh["tasks"], refresh["images"]["done"]) == ("finished", {"moved": 60}, 900)
        check_once(third.api, tasks, shipped)
        assert "Traceback" not in third.log()
        assert rolled_back(third.api, id_)["tasks"] == {"returned": 60}


@pytest.mark.slow
def test_a_server_without_the_bundle_leaves_the_refresh_to_others_and_ends_it_only_when_alone(
    tmp_path: Path, int8_bundles: Path, shipped_bundle: Path, support: Labelled
) -> None:
    more = tmp_path / "bundles"
    new = small_bundle(shipped_bundle, more, "new", int8=True)
    small_bundle(shipped_bundle, more, "small", int8=True)
    with replicas(tmp_path, (more, SMALL), (int8_bundles, SMALL)) as (able, lacking):
        tasks = [create(able.api, support[:15])["id"] for _ in range(20)]
        refresh = moved(able.api, new, tasks, max_drop=1)
        assert (refresh["state"], refresh["tasks"]) == ("finished", {"moved": 20})
        id_ = begin(able.api, SMALL, tasks, max_drop=1)["id"]
        until(lacking.api, id_, lambda refresh: refresh["tasks"].get("moved", 0) > 2)
        assert ended(lacking.api, id_)["tasks"] == {"moved": 20}
        until_at_work(tmp_path, 0)
        id_ = begin(able.api, new, tasks, max_drop=1)["id"]
        until(lacking.api, id_, lambda refresh: refresh["tasks"].get("moved", 0) > 2)
        able.process.kill()
        refresh = ended(lacking.api, id_)
        assert (refresh["state"], refresh["reason"]["code"]) == ("failed", "backbone_not_found")
        assert refresh["tasks"].keys() == {"moved", "skipped"}


@pytest.mark.slow
def test_tasks_are_judged_by_servers_that_have_their_own_bundle(
    tmp_path: Path, int8_bundles: Path, shipped: str, support: Labelled
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with replicas(tmp_path, (int8_bundles, SMALL), (empty, shipped)) as (able, lacking):
        tasks = [create(able.api, support)["id"] for _ in range(20)]
        refresh = moved(lacking.api, shipped, tasks)
        found = rows(lacking.api, refresh["id"])
        assert {row["reason"]["code"] for row in found.values()} == {"accuracy_held"}
        more = [create(able.api, support)["id"] for _ in range(10)]
        able.process.kill()
        found = rows(lacking.api, moved(lacking.api, shipped, more)["id"])
        assert {row["reason"]["code"] for row in found.values()} == {"backbone_unavailable"}
        assert {row["outcome"] for row in found.values()} == {"moved"}
        check_once(lacking.api, [*tasks, *more], shipped)
