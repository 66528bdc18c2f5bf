"""Quotas on a real server: what is refused, in which words, and what is counted."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from headstart import Client
from models.bundle import PAPER_BUNDLE
from server.cache.keys import LOOK_SECONDS
from server.keys import id_of
from server.store.key_records import new_key
from server.store.store import Store
from tests.helpers.databases import database_url
from tests.helpers.images import encode, noise
from tests.helpers.problems import assert_problem
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.uploads import as_archive, as_json, create, multipart, queries

_IMAGES = [encode(noise(32, 32, seed=seed)) for seed in range(12)]
_PAIR = [("cat", _IMAGES[0]), ("dog", _IMAGES[1])]
_SIZE = len(_IMAGES[0])

_LIMITS: dict[str, dict[str, int]] = {
    "*": {"tasks": 1000},
    "asking": {"requests": 3},
    "looking": {"images": 20},
    "learning": {"images": 20},
    "sharing": {"images": 12},
    "creating": {"tasks": 2},
    "adding": {"examples": 4},
    "filling": {"bytes": 3 * _SIZE + 10},
    "capturing": {"captures": 3},
    "crowding": {"tasks": 5},
    "hurrying": {"images": 5},
    "comparing": {"images": 5},
    "elsewhere": {"images": 5},
    "told": {"requests": 500, "images": 50, "examples": 9},
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quotas") / "data"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def keys(data_dir: Path) -> dict[str, str]:
    """Of each tenant a key, and two more: of the operator, and of a caller with less than its tenant."""
    with closing(Store.open(database_url(data_dir))) as store:
        made = {}
        for name in (*_LIMITS, "default", "small"):
            if name != "*":
                record, made[name] = new_key("sharing" if name == "small" else name, "manage", None, None)
                store.keys.add(record)
        for tenant, limits in _LIMITS.items():
            store.quotas.change(tenant, "", limits)
        store.quotas.change("sharing", key_id(made["small"]), {"images": 5})
    return made


@pytest.fixture(scope="module")
def server(data_dir: Path, keys: dict[str, str], small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    assert keys
    with ServerProcess(data_dir, *small_flags, "--allowed-origins", "https://app.example") as process:
        yield process


@pytest.fixture(scope="module")
def caller(server: ServerProcess, keys: dict[str, str]) -> Iterator[Callable[[str], httpx.Client]]:
    with ExitStack() as clients:

        def of(name: str) -> httpx.Client:
            headers = {"Authorization": f"Bearer {keys[name]}"}
            return clients.enter_context(httpx.Client(base_url=server.url, timeout=60, headers=headers))

        yield of


def key_id(key: str) -> str:
    id_ = id_of(key)
    assert id_ is not None
    return id_


def state(response: httpx.Response) -> dict[str, tuple[int, int]]:
    """What `RateLimit` says of each policy: how much is left, and the seconds until all is."""
    items = re.findall(r'"([a-z-]+)";r=(\d+);t=(\d+)', response.headers["ratelimit"])
    return {name: (int(left), int(seconds)) for name, left, seconds in items}


def ask(api: httpx.Client, task: str, count: int) -> httpx.Response:
    return api.post(f"/v1/tasks/{task}/predict", **queries(_IMAGES[:1] * count))


def metric(api: httpx.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", api.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


class TestRequests:
    def test_too_many_are_refused_before_their_bodies(
        self, server: ServerProcess, keys: dict[str, str], caller: Callable[[str], httpx.Client]
    ) -> None:
        api, operator = caller("asking"), caller("default")
        before = metric(operator, 'headstart_quota_refusals_total{quota="requests"}')
        left = []
        for _ in range(3):
            answered = api.get("/v1/tasks", headers={"Origin": "https://app.example"})
            assert answered.status_code == 200
            assert answered.headers["ratelimit-policy"] == '"requests";q=3;w=60'
            left.append(state(answered)["requests"][0])
        assert left == [2, 1, 0]
        assert "RateLimit-Policy" in answered.headers["access-control-expose-headers"]
        refused = api.get("/v1/tasks")
        assert_problem(refused, 429, "quota_exceeded")
        wait = int(refused.headers["retry-after"])
        assert 1 <= wait <= 20
        assert f"3 requests a minute; try again in {wait} seconds" in refused.json()["detail"]
        assert state(refused)["requests"][0] == 0
        head = (
            f"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {keys['asking']}\r\nContent-Length: 9\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5) as connection:
            connection.sendall(head.encode())
            assert connection.recv(20).startswith(b"HTTP/1.1 429")
        assert metric(operator, 'headstart_quota_refusals_total{quota="requests"}') == before + 2

    def test_nobody_else_notices(self, server: ServerProcess, caller: Callable[[str], httpx.Client]) -> None:
        operator = caller("default")
        for _ in range(5):
            for answered in (operator.get("/metrics"), operator.get("/v1/tasks"), httpx.get(f"{server.url}/healthz")):
                assert answered.status_code == 200
                assert "ratelimit" not in answered.headers


class TestImages:
    def test_of_predictions(self, caller: Callable[[str], httpx.Client]) -> None:
        api = caller("looking")
        task = create(api, _PAIR)["id"]
        answered = ask(api, task, 12)
        assert answered.status_code == 200
        assert state(answered)["images"][0] == 6, "two that it learned from, and twelve"
        refused = ask(api, task, 9)
        assert_problem(refused, 429, "quota_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 9
        assert "20 images a minute" in refused.json()["detail"]
        never = ask(api, task, 21)
        assert_problem(never, 429, "quota_exceeded")
        assert "retry-after" not in never.headers
        assert "can never pass" in never.json()["detail"]
        assert_problem(api.post(f"/v1/tasks/{task}/predict", json={"images": []}), 422, "invalid_request")
        many = api.post("/v1/predict?tasks=all", **queries(_IMAGES[:2]))
        assert many.status_code == 200
        assert 4 <= state(many)["images"][0] <= 5, "what was refused was not charged"
        assert_problem(ask(api, "task_none", 20), 404, "task_not_found")

    def test_of_predictions_for_clients_of_other_services(self, caller: Callable[[str], httpx.Client]) -> None:
        api = caller("elsewhere")
        task = create(api, _PAIR)["id"]
        paths = (f"/v1/tasks/{task}/hf", f"/customvision/v3.0/Prediction/{task}/classify/iterations/1/image")
        left = [state(api.post(path, content=_IMAGES[2]).raise_for_status())["images"][0] for path in paths]
        assert left == [2, 1]
        refused = [api.post(path, content=_IMAGES[2]) for path in (*paths, *paths)][-2:]
        for answered, member in zip(refused, ("error", "message"), strict=True):
            assert_problem(answered, 429, "quota_exceeded")
            assert "5 images a minute" in answered.json()[member]

    def test_of_examples_and_not_of_a_replay(self, caller: Callable[[str], httpx.Client]) -> None:
        api = caller("learning")
        again = {"Idempotency-Key": "once"}
        made = [api.post("/v1/tasks", **multipart(_PAIR), headers=again) for _ in range(2)]
        assert [each.status_code for each in made] == [201, 201]
        assert made[1].headers["idempotent-replayed"] == "true"
        assert state(made[1])["images"][0] == 18
        task = made[0].json()["id"]
        added = api.post(f"/v1/tasks/{task}/examples", **as_json([("cat", image) for image in _IMAGES[2:8]]))
        assert state(added)["images"][0] == 12
        zipped = as_archive([(f"{label}/{at}.png", image) for at, image in enumerate(_IMAGES[:10]) for label in ("cat", "dog")])
        assert_problem(api.post("/v1/tasks", **zipped), 429, "quota_exceeded")
        assert api.get("/v1/tasks").json()["next_cursor"] is None
        remembered = api.post(f"/v1/tasks/{task}/predict?remember=true", **queries(_IMAGES[:1])).json()["predictions"]
        corrected = api.post(f"/v1/tasks/{task}/corrections", json={"prediction": remembered[0]["prediction"], "label": "dog"})
        assert corrected.status_code == 201
        assert 11 <= state(corrected)["images"][0] <= 13, "it was embedded when it was asked about"

    def test_a_key_has_less_than_its_tenant(self, caller: Callable[[str], httpx.Client]) -> None:
        tenant, key = caller("sharing"), caller("small")
        task = create(tenant, _PAIR)["id"]
        answered = ask(key, task, 5)
        assert answered.headers["ratelimit-policy"] == '"images";q=12;w=60, "key-images";q=5;w=60'
        assert {name: left for name, (left, _) in state(answered).items()} == {"images": 5, "key-images": 0}
        refused = ask(key, task, 2)
        assert_problem(refused, 429, "quota_exceeded")
        assert "this key has used its quota of 5 images" in refused.json()["detail"]
        assert ask(tenant, task, 5).status_code == 200
        assert "this tenant has used its quota of 12 images" in ask(tenant, task, 2).json()["detail"]

    def test_of_a_comparison_on_another_backbone(self, caller: Callable[[str], httpx.Client]) -> None:
        api = caller("comparing")
        task = create(api, _PAIR)["id"]
        there, other = {"options": {"solver": "prototype"}}, {"backbone": PAPER_BUNDLE}
        compared = api.post(f"/v1/tasks/{task}/compare", json={"candidates": [there, other]})
        assert compared.status_code == 200
        assert state(compared)["images"][0] == 1, "two that it learned from, and the same two once more"
        again = api.post(f"/v1/tasks/{task}/compare", json={"candidates": [there, other]}).json()["candidates"]
        assert [each.get("error", {}).get("code") for each in again] == [None, None, "quota_exceeded"]
        assert_problem(api.post(f"/v1/tasks/{task}/compare", json={"candidates": [other]}), 429, "quota_exceeded")

    def test_of_a_crowd_as_many_pass_as_may(self, caller: Callable[[str], httpx.Client]) -> None:
        api = caller("hurrying")
        task = create(api, _PAIR)["id"]
        with ThreadPoolExecutor(16) as threads:
            began = time.monotonic()
            statuses = list(threads.map(lambda _: ask(api, task, 1).status_code, range(16)))
            seconds = time.monotonic() - began
        assert set(statuses) == {200, 429}
        assert 3 <= statuses.count(200) <= 3 + (seconds + 5) / 12, "two were learned from"


_EMBEDDED = 'headstart_stage_seconds_count{stage="embed"}'


class TestStored:
    def test_tasks(self, caller: Callable[[str], httpx.Client]) -> None:
        api, operator = caller("creating"), caller("default")
        first = create(api, _PAIR)["id"]
        create(api, _PAIR)
        embedded = metric(operator, _EMBEDDED)
        refused = api.post("/v1/tasks", **multipart(_PAIR))
        assert metric(operator, _EMBEDDED) == embedded, "no image was embedded in vain"
        assert_problem(refused, 403, "stored_quota_exceeded")
        assert refused.json()["detail"].startswith("tasks of this tenant, with those of this request: 3; its quota is 2")
        assert "retry-after" not in refused.headers
        assert len(api.get("/v1/tasks").json()["tasks"]) == 2
        assert api.delete(f"/v1/tasks/{first}").status_code == 204
        create(api, _PAIR)

    def test_examples_until_they_are_forgotten(self, caller: Callable[[str], httpx.Client]) -> None:
        api, operator = caller("adding"), caller("default")
        task = create(api, [*_PAIR, ("cat", _IMAGES[2])])["id"]
        path = f"/v1/tasks/{task}/examples"
        assert api.post(path, **multipart([("cat", _IMAGES[3])])).status_code == 201
        embedded = metric(operator, _EMBEDDED)
        assert_problem(api.post(path, **multipart([("cat", _IMAGES[4])])), 403, "stored_quota_exceeded")
        assert metric(operator, _EMBEDDED) == embedded
        example = api.get(path).json()["examples"][-1]["id"]
        assert_problem(api.patch(f"{path}/{example}", json={"label": "dog"}), 403, "stored_quota_exceeded")
        assert api.delete(f"{path}/{example}").status_code == 200
        assert_problem(api.post(path, **multipart([("cat", _IMAGES[4])])), 403, "stored_quota_exceeded")
        assert api.delete(f"{path}/{example}?forget=true").status_code == 200
        assert api.post(path, **multipart([("cat", _IMAGES[4])])).status_code == 201

    def test_bytes_of_examples_and_captures(self, caller: Callable[[str], httpx.Client]) -> None:
        api, operator = caller("filling"), caller("default")
        task = create(api, _PAIR)["id"]
        remembered = api.post(f"/v1/tasks/{task}/predict?remember=true", **queries(_IMAGES[2:3]))
        assert remembered.status_code == 200
        refused = api.post(f"/v1/tasks/{task}/predict?remember=true", **queries(_IMAGES[3:4]))
        assert_problem(refused, 403, "stored_quota_exceeded")
        assert "bytes of this tenant" in refused.json()["detail"]
        assert_problem(api.post(f"/v1/tasks/{task}/examples", **multipart(_PAIR)), 403, "stored_quota_exceeded")
        assert metric(operator, 'headstart_quota_refusals_total{quota="bytes"}') == 2
        capture = remembered.json()["predictions"][0]["prediction"]
        corrected = api.post(f"/v1/tasks/{task}/corrections", json={"prediction": capture, "label": "cat"})
        assert corrected.status_code == 201, "its image was there"

    def test_captures_beyond_it_are_dropped_and_the_prediction_is_answered(self, caller: Callable[[str], httpx.Client]) -> None:
        api, operator = caller("capturing"), caller("default")
        task = create(api, _PAIR, capture='{"keep": "all"}')["id"]
        dropped = 'headstart_captures_dropped_total{reason="quota"}'
        assert metric(operator, dropped) == 0
        assert api.post(f"/v1/tasks/{task}/predict", **queries(_IMAGES[:8])).status_code == 200
        deadline = time.monotonic() + 20
        while metric(operator, dropped) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert metric(operator, dropped) == 5
        assert api.get(f"/v1/tasks/{task}/captures").json()["total"] == 3
        remembered = api.post(f"/v1/tasks/{task}/predict?remember=true", **queries(_IMAGES[:1]))
        assert_problem(remembered, 403, "stored_quota_exceeded")

    def test_of_32_at_once_exactly_as_many_are_stored_as_may_be(self, caller: Callable[[str], httpx.Client]) -> None:
        api = caller("crowding")
        with ThreadPoolExecutor(32) as threads:
            statuses = list(threads.map(lambda _: api.post("/v1/tasks", **multipart(_PAIR)).status_code, range(32)))
        assert sorted(statuses) == [201] * 5 + [403] * 27
        assert len(api.get("/v1/tasks").json()["tasks"]) == 5


def test_limits_tell_the_quotas_and_what_is_used(
    server: ServerProcess, keys: dict[str, str], caller: Callable[[str], httpx.Client]
) -> None:
    api = caller("told")
    create(api, _PAIR)
    limits = api.get("/v1/limits").json()
    assert (limits["images"], limits["new_examples"]) == (50, 50), "no request may bring more"
    found = {(each["quota"], each["of"]): each for each in limits["quotas"]}
    assert found.keys() == {(quota, "tenant") for quota in ("requests", "images", "tasks", "examples")}
    assert (found["examples", "tenant"]["used"], found["examples", "tenant"]["limit"]) == (2, 9)
    assert (found["tasks", "tenant"]["used"], found["tasks", "tenant"]["limit"]) == (1, 1000), "that of every tenant"
    assert found["images", "tenant"] == {"quota": "images", "of": "tenant", "limit": 50, "used": 2, "seconds": 60}
    assert found["tasks", "tenant"]["seconds"] is None
    with Client(server.url, token=keys["told"]) as client:
        assert {(each.quota, each.limit) for each in client.quotas()} == {
            ("requests", 500), ("images", 50), ("tasks", 1000), ("examples", 9)
        }  # fmt: skip


class TestCommand:
    def command(self, data_dir: Path, *arguments: str) -> tuple[int, str, str]:
        ended = run_server("quotas", *arguments, "--data-dir", str(data_dir), folder=data_dir.parent)
        return ended.returncode, ended.stdout, ended.stderr

    def test_beside_a_server_without_keys(self, tmp_path: Path, small_flags: tuple[str, ...]) -> None:
        folder = tmp_path / "data"
        with ServerProcess(folder, *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
            task = create(api, _PAIR)["id"]
            assert "ratelimit" not in api.get("/v1/tasks").headers
            setting = ("set", "--tenant", "default", "--images-per-minute", "3", "--tasks", "7")
            status, _, said = self.command(folder, *setting)
            assert (status, "images 3, tasks 7" in said) == (0, True), said
            self.await_quotas(api, {"images", "tasks"})
            assert_problem(ask(api, task, 4), 429, "quota_exceeded")
            assert ask(api, task, 3).status_code == 200
            assert self.command(folder, "set", "--tenant", "default", "--images-per-minute", "none")[0] == 0
            self.await_quotas(api, {"tasks"})
            assert ask(api, task, 4).status_code == 200
            _, listed, _ = self.command(folder, "list")
            row = f"default - - - 1 of 7 2 of - {2 * _SIZE} of - 0 of -"
            assert " ".join(listed.splitlines()[1].split()) == row
            assert "no key and no task" not in said
            assert (
                "tenant deflaut has no key and no task" in self.command(folder, "set", "--tenant", "deflaut", "--tasks", "7")[2]
            )
            assert self.command(folder, "remove", "--tenant", "deflaut")[0] == 0
            assert self.command(folder, "remove", "--tenant", "default")[0] == 0
            self.await_quotas(api, set())
            assert self.command(folder, "list")[1].count("\n") == 1

    def await_quotas(self, api: httpx.Client, names: set[str]) -> None:
        deadline = time.monotonic() + 10 * LOOK_SECONDS
        while {each["quota"] for each in api.get("/v1/limits").json()["quotas"]} != names:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    @pytest.mark.parametrize(
        ("arguments", "status", "message"),
        [
            (("set", "--tenant", "a"), 1, "nothing to set"),
            (("set", "--tenant", "a", "--key", "none", "--images-per-minute", "5"), 1, "there is no key 'none'"),
            (("set", "--tenant", "a", "--key", "none", "--tasks", "5"), 1, "belongs to the tenant"),
            (("set", "--every-tenant", "--key", "none", "--images-per-minute", "5"), 1, "a key is of one tenant"),
            (("set", "--tasks", "5"), 2, "--tenant"),
            (("set", "--tenant", "A", "--tasks", "5"), 2, "--tenant"),
            (("set", "--tenant", "a", "--images-per-minute", "0"), 2, "--images-per-minute"),
            (("set", "--tenant", "a", "--bytes", "5GB"), 2, "--bytes"),
            ((), 2, "COMMAND"),
        ],
    )
    def test_wrong_arguments_are_named(self, tmp_path: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
        where = ("--data-dir", str(tmp_path / "data")) if status == 1 else ()
        if where:
            run_server("keys", "create", "--tenant", "b", "--scope", "write", *where, folder=tmp_path)
        ended = run_server("quotas", *arguments, *where, folder=tmp_path)
        assert ended.returncode == status
        assert message in ended.stderr.splitlines()[-1]


def test_a_new_key_has_the_quota_of_the_one_that_it_replaces(tmp_path: Path) -> None:
    with closing(Store.open(database_url(tmp_path))) as store:
        record, _ = new_key("a", "predict", None, None)
        store.keys.add(record)
        store.quotas.change("a", record.id, {"images": 5})
        fresh, _ = store.keys.rotate("a", record.id, timedelta(hours=1))
        assert store.quotas.all()["a", fresh.id].images == 5
