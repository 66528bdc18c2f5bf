"""Servers that share a PostgreSQL database: each knows of the others' changes in time, and none answers by what is old."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from benchmarks import server_process
from benchmarks.postgres_server import PostgresServer
from server.cache.versions import VersionCache
from server.changes import Changes, seconds_now
from server.context import Changed, changed
from server.errors import StorageFailed
from server.store.key_records import new_key
from server.store.records import Asked, Task, TaskKey
from server.store.shared_changes import TRUE_SECONDS, SharedChanges
from server.store.store import Store
from tests.helpers.databases import database_url, statements_in, stores_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.stored import add, create, head_of, new_examples
from tests.helpers.uploads import create as create_task
from tests.helpers.uploads import multipart
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.postgresql

SERVERS = 3
PATIENCE = 30.0


class Replica:
    """The store of one of several servers, in this process. It reads of changes when `hear` is called, and not by itself."""

    def __init__(self, url: str) -> None:
        self.changes = Changes()
        self.store = Store.open(url, changes=self.changes)
        self.removed: list[tuple[TaskKey, list[int]]] = []
        self.gaps = 0
        shared = self.store.hear(lambda key, versions: self.removed.append((key, list(versions))), lambda: None, self._gap)
        assert isinstance(shared, SharedChanges)
        self.shared = shared
        self.hear = shared.catch_up
        self.hear()
        self.gaps = 0

    def version(self, task: Task) -> int:
        """What the server would answer by, without asking the database if it has it in memory."""
        return self.store.active.get(task.key).version

    def _gap(self) -> None:
        self.gaps += 1


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[Replica, Replica]]:
    with ExitStack() as open_:
        made = Replica(database_url(tmp_path)), Replica(database_url(tmp_path))
        for each in made:
            open_.callback(each.store.close)
        yield made


class TestChanges:
    def test_a_change_is_known_to_others_once_they_have_heard(self, replicas: tuple[Replica, Replica]) -> None:
        one, other = replicas
        task = create(one.store)
        assert other.version(task) == 1
        other.hear()
        assert other.version(task) == 1
        changed = add(one.store, task, "bird")
        assert one.version(task) == 2
        assert other.version(task) == 1, "it is in memory, and nothing was heard"
        other.hear()
        assert other.version(task) == 2
        assert other.removed == [(task.key, []), (task.key, [])]
        assert one.removed == []
        one.store.tasks.delete(changed.key)
        other.hear()
        assert other.removed[-1] == (task.key, [1, 2])
        assert other.gaps == 0

    def test_nothing_is_taken_from_memory_that_may_be_old(
        self, replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = replicas
        task = create(one.store)
        other.hear()
        assert other.version(task) == 1
        add(one.store, task, "bird")
        now = seconds_now()
        monkeypatch.setattr("server.changes.seconds_now", lambda: now + 2 * TRUE_SECONDS)
        assert other.version(task) == 2
        assert list(other.store.active.ids("default")) == [task.id]

    def test_what_a_transaction_commits_late_is_not_missed(self, replicas: tuple[Replica, Replica]) -> None:
        """It took its number first, and commits after a reader has seen a later one of another tenant."""
        one, other = replicas
        slow, quick = create(one.store, "slow"), create(one.store, "quick")
        other.hear()
        assert other.version(slow) == other.version(quick) == 1
        database = one.store._database
        with database.write("slow") as connection:
            database.tell_change(connection, *slow.key)
            add(one.store, quick, "bird")
            other.hear()
            assert [key for key, _ in other.removed[2:]] == [quick.key]
            other.hear()
        other.hear()
        assert [key for key, _ in other.removed[2:]] == [quick.key, slow.key], "each once"

    def test_a_change_of_keys_waits_for_one_of_the_callers_tasks(self, replicas: tuple[Replica, Replica], tmp_path: Path) -> None:
        """So no later token of a client, of whichever change, is known to a server that does not know of an earlier one."""
        one, _ = replicas
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = :here")
        here = text("SELECT oid FROM pg_database WHERE datname = current_database()")

        def waits() -> bool:
            with statements_in(tmp_path) as connection:
                return bool(connection.scalar(waiting, {"here": connection.scalar(here)}))

        with ThreadPoolExecutor() as threads:
            with one.store._database.write("default"):
                made = threads.submit(one.store.keys.add, new_key("others", "predict", None, None)[0])
                wait_until(waits)
                assert not made.done()
            made.result()

    def test_a_repeated_answer_tells_of_the_last_change_of_its_tenant(self, replicas: tuple[Replica, Replica]) -> None:
        one, other = replicas
        asked = Asked("key", "f" * 64, "{}")
        task = one.store.tasks.create(
            TaskKey("default", "task_1"), "pets", new_examples(["cat", "dog"]), head_of(["cat", "dog"]), asked
        )
        other.hear()
        assert other.version(task) == 1
        with one.store._database.write("default") as connection:  # It begins before the other tenant's change, and ends after it.
            one.store._database.tell_change(connection, *task.key)
            create(one.store, "others")
            other.hear()
        noted = Changed()
        context = copy_context()
        context.run(changed.set, noted)
        assert context.run(one.store.replay, "default", "key")
        assert not other.shared.knows(noted.at_least)

    def test_a_transaction_that_is_undone_tells_nothing(self, replicas: tuple[Replica, Replica]) -> None:
        one, other = replicas
        task = create(one.store)
        other.hear()
        database = one.store._database
        with pytest.raises(RuntimeError), database.write("default") as connection:  # noqa: PT012
            database.tell_change(connection, *task.key)
            raise RuntimeError
        other.hear()
        assert other.removed == [(task.key, [])]

    def test_who_has_not_read_for_long_forgets_everything(
        self, replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, other = replicas
        task = create(one.store)
        other.hear()
        assert other.version(task) == 1
        add(one.store, task, "bird")
        now = seconds_now()
        monkeypatch.setattr("server.store.shared_changes.seconds_now", lambda: now + 1000)
        other.hear()
        assert other.gaps == 1
        assert other.version(task) == 2

    def test_rows_leave_when_all_have_read_them(self, replicas: tuple[Replica, Replica], tmp_path: Path) -> None:
        one, _ = replicas
        create(one.store)
        with statements_in(tmp_path) as connection:
            connection.exec_driver_sql("UPDATE changes SET time = time - interval '11 minutes'")
        young = create(one.store)
        one.shared._trim()
        with statements_in(tmp_path) as connection:
            assert connection.exec_driver_sql("SELECT task FROM changes").scalars().all() == [young.id]

    def test_a_database_that_was_started_anew_may_be_another_one(
        self, replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, other = replicas
        assert other.shared._last is not None
        monkeypatch.setattr(other.shared, "_last", replace(other.shared._last, started="2026-01-01 00:00:00+00"))
        other.hear()
        assert other.gaps == 1
        other.hear()
        assert other.gaps == 1

    def test_a_change_that_nobody_could_confirm_is_taken_for_anothers(
        self, replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its connection breaks in the commit, and it appears later."""
        one, _ = replicas
        task = create(one.store)

        def commit_and_break(connection: Connection) -> None:
            real_commit(connection)
            raise OperationalError("COMMIT", {}, OSError(), connection_invalidated=True)

        real_commit = Connection.commit
        with monkeypatch.context() as breaking:
            breaking.setattr(Connection, "commit", commit_and_break)
            with pytest.raises(StorageFailed, match="may have been stored"):
                add(one.store, task, "bird")
        one.hear()
        assert one.removed[-1] == (task.key, [])

    def test_a_version_that_another_server_removed_is_not_kept_by_who_made_it(self) -> None:
        cache: VersionCache[bytes] = VersionCache(100, len)
        key = TaskKey("default", "task_1")
        cache.drop(key, [5])
        cache.keep(key, 5, b"late")
        cache.keep(key, 6, b"head")
        assert (cache.get(key, 5), cache.get(key, 6)) == (None, b"head")

    def test_rates_that_rest_begin_anew(self, replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch) -> None:
        one, other = (each.store.rates for each in replicas)
        assert one is not None
        assert other is not None
        other.exchange({})
        one.exchange({"birds//images": 36_000.0})
        assert other.exchange({}) == {"birds//images": 36_000.0}
        now = time.monotonic()
        monkeypatch.setattr("server.store.shared_rates.time.monotonic", lambda: now + 400)
        one.exchange({"birds//images": 0.5})
        assert other.exchange({}) == {"birds//images": 0.5}

    def test_rates_that_others_use_are_told_once(self, replicas: tuple[Replica, Replica]) -> None:
        one, other = (each.store.rates for each in replicas)
        assert one is not None
        assert other is not None
        assert one.exchange({"birds//images": 5.0}) == {}
        assert other.exchange({}) == {}, "what was used before it began"
        one.exchange({"birds//images": 2.0, "cats//images": 1.0})
        assert other.exchange({"birds//images": 0.5}) == {"birds//images": 2.0, "cats//images": 1.0}
        assert other.exchange({}) == {}
        assert one.exchange({}) == {"birds//images": 0.5}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[list[ServerProcess]]:
    folder = tmp_path_factory.mktemp("replicas")
    with ExitStack() as running:
        running.enter_context(stores_in("postgresql"))
        url = database_url(folder)
        starting = ThreadPoolExecutor(SERVERS)

        def start(number: int) -> ServerProcess:
            return running.enter_context(ServerProcess(folder / f"data{number}", "--database-url", url, *small_flags))

        found = list(starting.map(start, range(SERVERS)))
        yield found
        for server in found:
            assert "Traceback" not in server.log()


@pytest.fixture
def apis(servers: list[ServerProcess]) -> Iterator[list[httpx.Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(httpx.Client(base_url=server.url, timeout=PATIENCE)) for server in servers]


class TestServers:
    def test_clients_see_their_own_changes_at_every_server(self, apis: list[httpx.Client], support: Labelled) -> None:
        """Each change goes to one server, and the very next questions to the others. Nobody waits."""

        def work(number: int) -> None:
            task = create_task(apis[number % SERVERS], support[::5])["id"]
            known = 0
            for turn in range(6):
                to, asked = (apis[(number + turn + step) % SERVERS] for step in (0, 1))
                reply = to.post(
                    f"/v1/tasks/{task}/examples",
                    **multipart(support[turn : turn + 1]),
                    headers={"Headstart-At-Least": str(known)},
                )
                assert reply.status_code == 201, reply.text
                known = int(reply.headers["headstart-at-least"])
                image = support[turn][1]
                answer = asked.post(f"/v1/tasks/{task}/predict", content=image, headers={"Headstart-At-Least": str(known)})
                assert answer.json()["version"] == reply.json()["version"]
                assert "headstart-at-least" not in answer.headers
            gone = apis[0].delete(f"/v1/tasks/{task}").headers["headstart-at-least"]
            for api in apis:
                after = api.post(f"/v1/tasks/{task}/predict", content=support[0][1], headers={"Headstart-At-Least": gone})
                assert after.json()["code"] == "task_not_found"

        with ThreadPoolExecutor(8) as clients:
            list(clients.map(work, range(8)))

    def test_nobody_answers_by_what_was_true_half_a_second_before(self, apis: list[httpx.Client], support: Labelled) -> None:
        task = create_task(apis[0], support[::5])["id"]
        acknowledged: list[tuple[float, int]] = [(time.monotonic(), 1)]
        failures: list[str] = []
        done = threading.Event()

        def ask(api: httpx.Client) -> None:
            while not done.is_set():
                begun = time.monotonic()
                least = max(version for at, version in list(acknowledged) if at <= begun - TRUE_SECONDS or version == 1)
                answer = api.post(f"/v1/tasks/{task}/predict", content=support[0][1]).json()
                if answer["version"] < least:
                    failures.append(f"{answer['version']} instead of {least}")

        askers = [threading.Thread(target=ask, args=(api,)) for api in apis]
        for asker in askers:
            asker.start()
        for turn in range(12):
            added = apis[turn % SERVERS].post(f"/v1/tasks/{task}/examples", **multipart(support[turn : turn + 1]))
            acknowledged.append((time.monotonic(), added.json()["version"]))
            done.wait(0.1)
        done.wait(TRUE_SECONDS)
        done.set()
        for asker in askers:
            asker.join()
        assert failures == []

    def test_a_key_of_idempotency_makes_one_task_at_all_servers(self, apis: list[httpx.Client], support: Labelled) -> None:
        def ask(api: httpx.Client) -> httpx.Response:
            return api.post("/v1/tasks", **multipart(support[::5]), headers={"Idempotency-Key": "everywhere"})

        with ThreadPoolExecutor(2 * SERVERS) as clients:
            replies = list(clients.map(ask, apis * 2))
        assert {reply.status_code for reply in replies} == {201}
        assert len({reply.json()["id"] for reply in replies}) == 1
        assert all(int(reply.headers["headstart-at-least"]) for reply in replies)
        assert sum("idempotent-replayed" not in reply.headers for reply in replies) == 1

    def test_changes_of_one_task_at_all_servers_are_all_kept(self, apis: list[httpx.Client], support: Labelled) -> None:
        task = create_task(apis[0], support[::5])["id"]

        def change(number: int) -> int:
            reply = apis[number % SERVERS].post(f"/v1/tasks/{task}/examples", **multipart(support[number : number + 1]))
            return int(reply.json()["version"]) if reply.status_code == 201 else -reply.status_code

        with ThreadPoolExecutor(SERVERS) as clients:
            versions = list(clients.map(change, range(9)))
        assert sorted(versions) == list(range(2, 11))

    def test_what_no_server_of_this_database_gave_is_in_nobodys_way(self, apis: list[httpx.Client]) -> None:
        for other in ("", "abc", "-1", "9" * 18, "9" * 19, "9" * 20):
            assert apis[0].get("/v1/tasks", headers={"Headstart-At-Least": other}).status_code == 200, other

    def test_the_default_bundle_is_that_of_all(self, apis: list[httpx.Client]) -> None:
        before = next(each["id"] for each in apis[0].get("/v1/backbones").json()["backbones"] if each["default"])
        other = next(each["id"] for each in apis[0].get("/v1/backbones").json()["backbones"] if each["id"] != before)
        for id_ in (other, before):
            assert apis[0].post("/v1/backbones", json={"id": id_}).status_code in {200, 201}
            assert apis[0].patch(f"/v1/backbones/{id_}", json={"default": True}).status_code == 200
            wait_until(partial(_all_default, apis, id_))


def _all_default(apis: list[httpx.Client], id_: str) -> bool:
    return all(api.get(f"/v1/backbones/{id_}").json()["default"] for api in apis)


def test_workers_of_a_server_know_what_another_server_changed(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled
) -> None:
    url = database_url(tmp_path)
    flags = ("--database-url", url, "--engine", "onnx", *small_flags)
    fresh = httpx.Limits(max_keepalive_connections=0)  # so that any worker may answer
    with ExitStack() as stack:
        alone = stack.enter_context(ServerProcess(tmp_path / "alone", *flags))
        many = stack.enter_context(server_process.ServerProcess(tmp_path / "many", "--workers", "2", *flags))
        one = stack.enter_context(httpx.Client(base_url=alone.url, timeout=PATIENCE))
        workers = stack.enter_context(httpx.Client(base_url=many.url, timeout=PATIENCE, limits=fresh))
        task = create_task(one, support[::5])["id"]
        path, image = f"/v1/tasks/{task}/predict", support[0][1]
        for turn in range(4):
            added = one.post(f"/v1/tasks/{task}/examples", **multipart(support[turn : turn + 1]))
            known = {"Headstart-At-Least": added.headers["headstart-at-least"]}
            for _ in range(4):
                assert workers.post(path, content=image, headers=known).json()["version"] == added.json()["version"]
        changed = workers.post(f"/v1/tasks/{task}/examples", **multipart(support[7:8]))
        known = {"Headstart-At-Least": changed.headers["headstart-at-least"]}
        assert one.post(path, content=image, headers=known).json()["version"] == changed.json()["version"]
        one.delete(f"/v1/tasks/{task}")
        wait_until(lambda: {workers.post(path, content=image).status_code for _ in range(4)} == {404})


class TestKeys:
    def test_keys_and_quotas_hold_at_every_server(self, tmp_path: Path, small_flags: tuple[str, ...]) -> None:
        url = database_url(tmp_path)
        with closing(Store.open(url)) as store:
            record, key = new_key("birds", "write", None, None)
            store.keys.add(record)
            store.quotas.change("birds", "", {"requests": 40})
        flags = ("--database-url", url, *small_flags)
        headers = {"Authorization": f"Bearer {key}"}
        with ExitStack() as stack:
            running = [stack.enter_context(ServerProcess(tmp_path / f"data{number}", *flags)) for number in range(2)]
            one, other = (stack.enter_context(httpx.Client(base_url=each.url, headers=headers, timeout=30)) for each in running)
            assert one.get("/v1/tasks").status_code == other.get("/v1/tasks").status_code == 200
            while one.get("/v1/tasks").status_code == 200:
                pass
            wait_until(lambda: other.get("/v1/tasks").status_code == 429)
            with closing(Store.open(url)) as store:
                store.quotas.change("birds", "", {"requests": None})
                wait_until(lambda: {api.get("/v1/tasks").status_code for api in (one, other)} == {200})
                store.keys.revoke(None, record.id)
            wait_until(lambda: {api.get("/v1/tasks").status_code for api in (one, other)} == {401})

    def test_a_key_made_at_one_server_holds_at_another_until_it_is_revoked(
        self, tmp_path: Path, small_flags: tuple[str, ...]
    ) -> None:
        url = database_url(tmp_path)
        with closing(Store.open(url)) as store:
            record, key = new_key("default", "manage", None, None)
            store.keys.add(record)
        with ExitStack() as stack:
            running = [
                stack.enter_context(ServerProcess(tmp_path / f"data{number}", "--database-url", url, *small_flags))
                for number in range(2)
            ]
            one, other = (stack.enter_context(httpx.Client(base_url=each.url, timeout=30)) for each in running)
            one.headers["Authorization"] = f"Bearer {key}"
            for _ in range(5):
                made = one.post("/v1/keys", json={"scope": "predict"})
                other.headers.update(
                    {
                        "Authorization": f"Bearer {made.json()['token']}",
                        "Headstart-At-Least": made.headers["headstart-at-least"],
                    }
                )
                assert other.get("/v1/key").status_code == 200
                revoked = one.delete(f"/v1/keys/{made.json()['id']}")
                other.headers["Headstart-At-Least"] = revoked.headers["headstart-at-least"]
                assert other.get("/v1/key").status_code == 401


class TestDatabaseAway:
    def test_a_server_says_so_at_once_and_goes_on_when_it_is_back(
        self, tmp_path: Path, small_flags: tuple[str, ...], support: Labelled
    ) -> None:
        with PostgresServer() as postgres:
            flags = ("--database-url", postgres.url(), *small_flags)
            with ServerProcess(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=30) as api:
                task = create_task(api, support[::5])["id"]

                def ask() -> httpx.Response:
                    return api.post(f"/v1/tasks/{task}/predict", content=support[0][1])

                assert ask().status_code == 200
                postgres.stop()
                wait_until(lambda: ask().status_code == 503)
                begun = time.monotonic()
                for reply in (ask(), api.get("/v1/tasks"), api.delete(f"/v1/tasks/{task}")):
                    assert (reply.status_code, reply.json()["code"]) == (503, "storage_failed")
                    assert int(reply.headers["retry-after"]) >= 1
                assert api.get("/healthz").status_code == 200
                assert api.get("/readyz").status_code == 503
                assert time.monotonic() - begun < PATIENCE / 10, "nothing waits for what is away"
                postgres.start()
                wait_until(lambda: ask().status_code == 200)
                assert api.get("/readyz").status_code == 200
                assert api.delete(f"/v1/tasks/{task}").status_code == 204
