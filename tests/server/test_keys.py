"""API keys on a real server: who may do what, and what holds how soon. The command runs beside it."""

import re
import socket
import ssl
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete

from benchmarks.server_process import free_port
from headstart import Client, ServerUnreachable
from models.bundle import PAPER_BUNDLE
from server.app import ROUTES
from server.cache.keys import LOOK_SECONDS
from server.http.callers import need_of
from server.keys import id_of, make_key
from server.store.tables import keys
from tests.helpers.bundles import SMALL
from tests.helpers.databases import contents_of, lose_database, nobody_writes, statements_in
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.tls import Secure, certificate
from tests.helpers.uploads import create

_NOBODY = "hs_0123456789ab_" + "0" * 64


class SecureServer(Secure, ServerProcess):
    pass


def command(data_dir: Path, *arguments: str) -> str:
    """What `headstart-server keys` prints on standard output."""
    ended = run_server("keys", *arguments, "--data-dir", str(data_dir), folder=data_dir.parent)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def new_key(data_dir: Path, scope: str, tenant: str = "default", *flags: str) -> str:
    return command(data_dir, "create", "--tenant", tenant, "--scope", scope, *flags)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def await_status(server: ServerProcess, key: str, status: int) -> None:
    """Until the server answers so to a key that the command made or revoked: after one look, or more on a busy machine."""
    deadline = time.monotonic() + 10 * LOOK_SECONDS
    while httpx.get(f"{server.url}/v1/key", headers=bearer(key)).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def id_in(key: str) -> str:
    id_ = id_of(key)
    assert id_ is not None
    return id_


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "data"


@pytest.fixture(scope="module")
def manage(data_dir: Path) -> str:
    return new_key(data_dir, "manage")


@pytest.fixture(scope="module")
def keyed(data_dir: Path, manage: str, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    assert manage
    with ServerProcess(data_dir, *small_flags) as process:
        yield process


@pytest.fixture
def api(keyed: ServerProcess, manage: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=keyed.url, timeout=60, headers=bearer(manage)) as client:
        yield client


@pytest.fixture(scope="module")
def task(keyed: ServerProcess, manage: str, support: Labelled) -> str:
    with httpx.Client(base_url=keyed.url, timeout=60, headers=bearer(manage)) as api:
        id_: str = create(api, support)["id"]
        return id_


def made(api: httpx.Client, **body: Any) -> str:
    answered = api.post("/v1/keys", json=body)
    assert answered.status_code == 201, answered.text
    assert answered.headers["cache-control"] == "no-store"
    key: str = answered.json()["token"]
    return key


@given(position=st.integers(0, 88), character=st.sampled_from("0123456789abcdef_hsX\u0661"))
def test_a_key_with_a_wrong_character_is_none(position: int, character: str) -> None:
    id_, key = make_key()
    assert len(key) == 89
    assert id_of(key) == id_
    if key[position] != character:
        assert id_of(key[:position] + character + key[position + 1 :]) is None
    assert id_of(key[:position]) is None


class TestWithoutAKey:
    def test_nothing_but_what_is_open_is_answered(self, keyed: ServerProcess) -> None:
        """Every route, as the OpenAPI document tells of them. The check comes before the body, and before the store."""
        with httpx.Client(base_url=keyed.url, timeout=60) as stranger:
            document = stranger.get("/openapi.json").json()
            answered = set()
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    response = stranger.request(method, re.sub(r"\{\w+\}", "x", path))
                    if "security" in operation:
                        assert_problem(response, 401, "unauthenticated")
                        assert response.headers["www-authenticate"] == "Bearer"
                        assert {"401", "403"} <= set(operation["responses"])
                    else:
                        answered.add(path)
                        assert response.status_code == 200
            assert answered == {"/healthz", "/readyz"}
            for page in ("/", "/docs", "/page/page.js"):
                assert stranger.get(page).status_code == 200

    @pytest.mark.parametrize(
        "value",
        ["", "Bearer", "Basic eDp5", f"Bearer {_NOBODY}_00000000", "Bearer \xe4", "Bearer x y", "bearer hs_"],
    )
    def test_whatever_is_no_key_is_refused(self, keyed: ServerProcess, value: str) -> None:
        refused = httpx.get(f"{keyed.url}/v1/tasks", headers=[(b"Authorization", value.encode("latin-1"))])
        assert_problem(refused, 401, "unauthenticated")

    def test_another_secret_under_the_id_of_a_key_is_refused(self, keyed: ServerProcess, manage: str) -> None:
        whole = f"hs_{id_in(manage)}_{'0' * 64}"
        forged = f"{whole}_{zlib.crc32(whole.encode()):08x}"
        assert id_of(forged) == id_in(manage), "well-formed"
        assert_problem(httpx.get(f"{keyed.url}/v1/tasks", headers=bearer(forged)), 401, "unauthenticated")

    def test_two_keys_are_none(self, keyed: ServerProcess, manage: str) -> None:
        both = [("Authorization", f"Bearer {manage}")] * 2
        assert_problem(httpx.get(f"{keyed.url}/v1/tasks", headers=both), 401, "unauthenticated")

    def test_a_body_is_not_waited_for(self, keyed: ServerProcess) -> None:
        head = b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", int(keyed.url.rpartition(":")[2])), timeout=5) as connection:
            connection.sendall(head)
            assert connection.recv(20).startswith(b"HTTP/1.1 401")


class TestScopes:
    def test_every_route_says_what_it_needs(self) -> None:
        """Reviewed by hand: a route that is added must be added here."""
        table: dict[str, set[str]] = {}
        for route in ROUTES:
            for method in route.methods or ():
                table.setdefault(need_of(route), set()).add(f"{method} {route.path}")
        of_task, of_example = "/v1/tasks/{task}", "/v1/tasks/{task}/examples/{example}"
        models = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
        of_iteration = "/customvision/v3.0/Prediction/{task}/classify/iterations/{iteration}"
        assert table == {
            "open": {"GET /healthz", "GET /readyz", "GET /v2/health/live", "GET /v2/health/ready"},
            "predict": {
                "GET /v1/tasks",
                f"GET {of_task}",
                f"GET {of_task}/versions",
                f"POST {of_task}/predict",
                f"POST {of_task}/hf",
                *(f"POST {of_iteration}/{what}{how}" for what in ("image", "url") for how in ("", "/nostore")),
                "POST /v1/predict",
                "GET /v1/limits",
                "GET /v1/backbones",
                "GET /v1/backbones/{backbone}",
                "GET /v1/key",
                "GET /v2",
                *(f"GET {model}{part}" for model in models for part in ("", "/config", "/ready", "/stats")),
                *(f"POST {model}/infer" for model in models),
                "GET /v2/models/stats",
                "POST /v2/repository/index",
                *(f"POST /v2/repository/models/{{model}}/{action}" for action in ("load", "unload")),
            },
            "write": {
                "POST /v1/tasks",
                f"PATCH {of_task}",
                f"GET {of_task}/examples",
                f"POST {of_task}/examples",
                f"PATCH {of_example}",
                f"DELETE {of_example}",
                f"GET {of_example}/image",
                f"GET {of_task}/archive",
                f"GET {of_task}/classifier",
                f"GET {of_task}/quality",
                f"POST {of_task}/compare",
                f"GET {of_task}/captures",
                f"GET {of_task}/captures/{{capture}}/image",
                f"POST {of_task}/captures/resolve",
                f"POST {of_task}/corrections",
                "GET /v1/events",
            },
            "manage": {
                f"DELETE {of_task}",
                "GET /v1/keys",
                "POST /v1/keys",
                "POST /v1/keys/{key}/rotate",
                "DELETE /v1/keys/{key}",
                "GET /v1/refreshes",
                "POST /v1/refreshes",
                "GET /v1/refreshes/{refresh}",
                "GET /v1/refreshes/{refresh}/tasks",
                *(f"POST /v1/refreshes/{{refresh}}/{action}" for action in ("pause", "resume", "cancel", "rollback")),
            },
            "operate": {
                "POST /v1/backbones",
                "PATCH /v1/backbones/{backbone}",
                "DELETE /v1/backbones/{backbone}",
                "GET /metrics",
            },
        }

    def test_each_includes_those_before_and_nothing_more(self, keyed: ServerProcess, api: httpx.Client, data_dir: Path) -> None:
        other = new_key(data_dir, "manage", "others")
        keys = {"predict": made(api, scope="predict"), "write": made(api, scope="write"), "manage": other}
        allowed = {
            "predict": {"open", "predict"},
            "write": {"open", "predict", "write"},
            "manage": {"open", "predict", "write", "manage"},
        }
        await_status(keyed, other, 200)
        for scope, key in keys.items():
            with httpx.Client(base_url=keyed.url, headers=bearer(key)) as caller:
                for route in ROUTES:
                    path = re.sub(r"\{\w+\}", "x", route.path)
                    answered = caller.request(next(iter(route.methods or ())), path)
                    if need_of(route) in allowed[scope]:
                        assert answered.status_code not in {401, 403}, (scope, path)
                    else:
                        assert_problem(answered, 403, "forbidden")

    def test_a_key_of_one_task_sees_that_one_alone(
        self, keyed: ServerProcess, api: httpx.Client, task: str, support: Labelled, queries: Labelled
    ) -> None:
        other = create(api, support)["id"]
        image = queries[0][1]
        with httpx.Client(base_url=keyed.url, timeout=60, headers=bearer(made(api, scope="write", task=task))) as bound:
            assert bound.get("/v1/key").json()["task"] == task
            assert [each["id"] for each in bound.get("/v1/tasks").json()["tasks"]] == [task]
            assert bound.get(f"/v1/tasks/{task}").status_code == 200
            assert {each["task"] for each in bound.get("/v1/events").json()["events"]} == {task}
            for path in (
                f"/v1/tasks/{other}",
                f"/v1/tasks/{other}/quality",
                f"/v1/tasks/{other}/archive",
                f"/v1/tasks/{other}/classifier",
            ):
                assert_problem(bound.get(path), 404, "task_not_found")
            raw: dict[str, Any] = {"content": image, "headers": {"Content-Type": "image/jpeg"}}
            every = bound.post("/v1/predict?tasks=all", **raw).json()
            assert [each["task"] for each in every["results"]] == [task]
            assert_problem(bound.post(f"/v1/predict?tasks={task},{other}", **raw), 404, "task_not_found")
            assert_problem(bound.post("/v1/tasks", **raw), 403, "forbidden")
        assert_problem(api.post("/v1/keys", json={"scope": "manage", "task": task}), 422, "invalid_request")
        assert_problem(api.post("/v1/keys", json={"scope": "write", "task": "task_none"}), 404, "task_not_found")

    def test_only_a_manage_key_has_a_bundle_opened_to_compare(self, keyed: ServerProcess, api: httpx.Client, task: str) -> None:
        """Otherwise a tenant's `write` keys could close the bundles of others, one after the other."""
        closed, path = {"backbone": PAPER_BUNDLE}, f"/v1/tasks/{task}/compare"

        def is_open() -> bool:
            answer: bool = api.get(f"/v1/backbones/{PAPER_BUNDLE}").json()["open"]
            return answer

        with httpx.Client(base_url=keyed.url, timeout=60, headers=bearer(made(api, scope="write"))) as writer:
            refused = writer.post(path, json={"candidates": [closed]})
            assert_problem(refused, 409, "backbone_not_open")
            both = writer.post(path, json={"candidates": [closed, {"backbone": SMALL, "options": {"C": 3}}]}).json()["candidates"]
            assert (both[1]["error"]["code"], both[2]["backbone"]) == ("backbone_not_open", SMALL)
            assert_problem(writer.post(path, json={"candidates": [{"backbone": "none@1"}]}), 404, "backbone_not_found")
            assert not is_open()
            assert api.post(path, json={"candidates": [closed]}).status_code == 200
            assert is_open()
            assert writer.post(path, json={"candidates": [closed]}).status_code == 200, "it is open now"


class TestLife:
    def test_a_revoked_key_opens_nothing_from_the_answer_on(self, keyed: ServerProcess, api: httpx.Client) -> None:
        for _ in range(20):
            key = made(api, scope="predict")
            assert httpx.get(f"{keyed.url}/v1/key", headers=bearer(key)).status_code == 200
            assert api.delete(f"/v1/keys/{id_in(key)}").status_code == 204
            assert_problem(httpx.get(f"{keyed.url}/v1/key", headers=bearer(key)), 401, "unauthenticated")
        assert api.delete(f"/v1/keys/{id_in(key)}").status_code == 204, "a second time"
        assert_problem(api.delete("/v1/keys/none"), 404, "key_not_found")
        assert_problem(api.post(f"/v1/keys/{id_in(key)}/rotate"), 404, "key_not_found")

    def test_a_whole_key_in_the_place_of_its_id_is_revoked_and_told_nowhere(
        self, keyed: ServerProcess, api: httpx.Client, data_dir: Path
    ) -> None:
        keys = [made(api, scope="predict") for _ in range(3)]
        assert api.delete(f"/v1/keys/{keys[0]}").status_code == 204
        assert api.post(f"/v1/keys/{keys[1]}/rotate").status_code == 201
        command(data_dir, "revoke", keys[2])
        await_status(keyed, keys[2], 401)
        assert_problem(httpx.get(f"{keyed.url}/v1/key", headers=bearer(keys[0])), 401, "unauthenticated")
        mistyped = f"{keys[1][:-1]}x"
        refused = api.delete(f"/v1/keys/{mistyped}")
        assert_problem(refused, 404, "key_not_found")
        for key in keys:
            assert key.split("_")[2] not in refused.text + keyed.log()
        assert all(id_in(key) in keyed.log() for key in keys[:2])

    @pytest.mark.usefixtures("keyed")
    def test_keys_are_listed_while_something_is_written(self, data_dir: Path, manage: str) -> None:
        with nobody_writes(data_dir):
            assert id_in(manage) in command(data_dir, "list")

    def test_the_command_beside_the_server_holds_within_seconds(self, keyed: ServerProcess, data_dir: Path) -> None:
        key = new_key(data_dir, "predict", "others")

        await_status(keyed, key, 200)
        assert id_in(key) in command(data_dir, "list", "--tenant", "others")
        assert id_in(key) not in command(data_dir, "list", "--tenant", "default")
        command(data_dir, "revoke", id_in(key))
        await_status(keyed, key, 401)

    def test_two_are_alive_at_once_for_rotation(self, keyed: ServerProcess, api: httpx.Client) -> None:
        old = made(api, scope="write", expires_in=1000)
        answer = api.post(f"/v1/keys/{id_in(old)}/rotate", json={"expires_in": 1}).json()
        assert (answer["scope"], answer["tenant"]) == ("write", "default")
        assert answer["expires_at"] is not None
        fresh = answer["token"]
        statuses = [httpx.get(f"{keyed.url}/v1/key", headers=bearer(key)).status_code for key in (old, fresh)]
        assert statuses == [200, 200]
        deadline = time.monotonic() + 5
        while httpx.get(f"{keyed.url}/v1/key", headers=bearer(old)).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.get(f"{keyed.url}/v1/key", headers=bearer(fresh)).status_code == 200

    def test_a_key_is_rotated_once_while_its_successor_lives(
        self, keyed: ServerProcess, api: httpx.Client, data_dir: Path
    ) -> None:
        old = id_in(made(api, scope="write"))
        fresh = api.post(f"/v1/keys/{old}/rotate").json()["id"]
        again = api.post(f"/v1/keys/{old}/rotate")
        assert_problem(again, 409, "key_rotated")
        assert fresh in again.json()["detail"]
        ended = run_server("keys", "rotate", old, "--data-dir", str(data_dir), folder=data_dir.parent)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert f"key {fresh} in its place is valid" in ended.stderr
        newest = api.post(f"/v1/keys/{fresh}/rotate", json={"expires_in": 1}).json()["id"]
        assert api.delete(f"/v1/keys/{fresh}").status_code == 204
        refused = api.post(f"/v1/keys/{old}/rotate")
        assert newest in refused.json()["detail"], "the successor's successor"
        assert api.delete(f"/v1/keys/{newest}").status_code == 204
        last = api.post(f"/v1/keys/{old}/rotate").json()
        assert last["id"] not in {old, fresh, newest}, "both were lost, and the old key has yet to be replaced"
        assert httpx.get(f"{keyed.url}/v1/key", headers=bearer(last["token"])).json()["id"] == last["id"]

    @pytest.mark.sqlite("what it has open can be read without its files")
    def test_a_key_that_cannot_be_stored_as_revoked_opens_nothing_all_the_same(
        self, tmp_path: Path, small_flags: tuple[str, ...]
    ) -> None:
        keys = [new_key(tmp_path / "data", "manage", tenant) for tenant in ("default", "default", "others")]
        with (
            ServerProcess(tmp_path / "data", *small_flags) as process,
            httpx.Client(base_url=process.url, headers=bearer(keys[0])) as api,
        ):
            lose_database(tmp_path / "data")
            refused = api.delete(f"/v1/keys/{id_in(keys[1])}")
            assert_problem(refused, 503, "storage_failed")
            assert "opens nothing from now on" in refused.json()["detail"]
            assert_problem(api.delete(f"/v1/keys/{id_in(keys[2])}"), 404, "key_not_found")
            statuses = [httpx.get(f"{process.url}/v1/key", headers=bearer(key)).status_code for key in keys]
            assert statuses == [200, 401, 200]

    def test_the_list_has_no_secret(self, api: httpx.Client, manage: str, data_dir: Path, keyed: ServerProcess) -> None:
        secret = manage.split("_")[2]
        assert secret not in api.get("/v1/keys").text
        assert secret not in keyed.log()
        assert not any(secret.encode() in content for content in contents_of(data_dir))

    def test_a_server_that_had_a_key_stays_closed_and_tells_when_it_was_used(
        self, tmp_path: Path, small_flags: tuple[str, ...]
    ) -> None:
        folder = tmp_path / "data"
        with ServerProcess(folder, *small_flags) as process:
            assert httpx.get(f"{process.url}/v1/key").json() == {
                "required": False,
                "id": None,
                "tenant": "default",
                "scope": "manage",
                "task": None,
                "expires_at": None,
            }
            with httpx.Client(base_url=process.url) as api:
                first = made(api, scope="manage")
                assert_problem(api.get("/v1/tasks"), 401, "unauthenticated")
                assert api.delete(f"/v1/keys/{id_in(first)}", headers=bearer(first)).status_code == 204
                assert_problem(api.get("/v1/tasks", headers=bearer(first)), 401, "unauthenticated")
        shown = command(folder, "list").splitlines()[1]
        assert re.fullmatch(rf"{id_in(first)} +default +manage +- +(\S+ \S+Z) +- +(\S+ \S+Z) +revoked", shown)
        with ServerProcess(folder, *small_flags) as process:
            assert_problem(httpx.get(f"{process.url}/v1/tasks"), 401, "unauthenticated")
            again = new_key(folder, "manage")
            await_status(process, again, 200)
        with statements_in(folder) as database:
            database.execute(delete(keys))
        with ServerProcess(folder, *small_flags) as process:
            assert httpx.get(f"{process.url}/v1/tasks").status_code == 200, "the way back, as docs/operations.md has it"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("create", "--tenant", "A b", "--scope", "predict"), "--tenant"),
            (("create", "--tenant", "a", "--scope", "all"), "--scope"),
            (("create", "--tenant", "a", "--scope", "predict", "--expires", "soon"), "--expires"),
            (("create", "--tenant", "a", "--scope", "predict", "--expires", "0d"), "--expires"),
            ((), "COMMAND"),
        ],
    )
    def test_wrong_arguments_are_named(self, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
        ended = run_server("keys", *arguments, folder=tmp_path)
        assert ended.returncode == 2
        assert message in ended.stderr.splitlines()[-1]

    @pytest.mark.parametrize(
        "arguments",
        [
            ("keys", "list"),
            ("keys", "revoke", "0123456789ab"),
            ("quotas", "list"),
            ("quotas", "set", "--every-tenant", "--tasks", "5"),
        ],
    )
    @pytest.mark.sqlite("its file is not there")
    def test_only_a_first_key_makes_a_database(self, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        folder = tmp_path / "data"
        ended = run_server(*arguments, "--data-dir", str(folder), folder=tmp_path)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert f"there is no database {folder / 'headstart.db'}" in ended.stderr.splitlines()[-1]
        assert not folder.exists()

    def test_what_cannot_be_done_is_said_in_a_line(self, tmp_path: Path) -> None:
        folder = tmp_path / "data"
        new_key(folder, "predict")
        for arguments, message in (
            (("revoke", "none"), "there is no key 'none'"),
            (("rotate", "none"), "there is no key 'none'"),
            (("create", "--tenant", "a", "--scope", "write", "--task", "x"), "there is no task 'x'"),
            (("create", "--tenant", "a", "--scope", "manage", "--task", "x"), "predict or write"),
        ):
            ended = run_server("keys", *arguments, "--data-dir", str(folder), folder=tmp_path)
            assert (ended.returncode, ended.stdout) == (1, "")
            assert message in ended.stderr.splitlines()[-1]


class TestBeyondThisMachine:
    def test_with_a_key_any_address_is_listened_on(self, tmp_path: Path, small_flags: tuple[str, ...]) -> None:
        folder = tmp_path / "data"
        key = new_key(folder, "predict")
        with ServerProcess(folder, *small_flags, "--host", "0.0.0.0") as process:
            assert httpx.get(f"{process.url}/v1/tasks", headers=bearer(key)).status_code == 200
            assert_problem(httpx.get(f"{process.url}/v1/tasks"), 401, "unauthenticated")

    def test_tls(self, tmp_path: Path, small_flags: tuple[str, ...], support: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that verifies the certificate is served; limits of the protocol hold, and its refusals arrive."""
        made, private = certificate(tmp_path)
        context = ssl.create_default_context(cafile=str(made))
        key = new_key(tmp_path / "data", "write")
        flags = ("--ssl-certfile", str(made), "--ssl-keyfile", str(private))
        with SecureServer(tmp_path / "data", *small_flags, *flags, "--header-timeout", "1") as process:
            port = int(process.url.rpartition(":")[2])
            with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, headers=bearer(key), timeout=30) as api:
                task = create(api, support)["id"]
                image: dict[str, Any] = {"content": support[0][1], "headers": {"Content-Type": "image/png"}}
                assert api.post(f"/v1/tasks/{task}/predict", **image).status_code == 200
                archive = api.get(f"/v1/tasks/{task}/archive")
                assert len(archive.content) > sum(len(image) for _, image in support)
                assert_problem(api.get("/v1/tasks", headers={"Authorization": "Bearer x"}), 401, "unauthenticated")
                assert_problem(api.get("/", headers={"X": "x" * 70_000}), 431, "headers_too_large")
            with (
                Client(f"https://localhost:{port}", token=key) as client,
                pytest.raises(ServerUnreachable, match="SSL_CERT_FILE"),
            ):
                client.task(task)
            with Client(f"http://localhost:{port}", token=key) as client, pytest.raises(ServerUnreachable, match="https://"):
                client.task(task)
            monkeypatch.setenv("SSL_CERT_FILE", str(made))
            with Client(f"https://localhost:{port}", token=key) as client:
                assert client.task(task).id == task
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname="localhost") as slow,
            ):
                slow.sendall(b"GET / HTTP/1.1\r\nHost:")
                assert slow.recv(20).startswith(b"HTTP/1.1 408")
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert not plain.recv(20).startswith(b"HTTP"), "nothing in clear text"

    def test_a_certificate_that_cannot_be_used_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "cert.pem").write_text("none")
        for flags in (("--ssl-certfile", str(tmp_path / "cert.pem")), ("--ssl-certfile", "no"), ("--ssl-keyfile", "no")):
            ended = run_server("--port", str(free_port()), "--data-dir", str(tmp_path / "data"), *flags, folder=tmp_path)
            assert ended.returncode == 2, ended.stderr
            assert "ssl-certfile" in ended.stderr.splitlines()[-1]

    def test_pages_that_are_allowed_send_keys_and_others_do_not(self, tmp_path: Path, small_flags: tuple[str, ...]) -> None:
        page, folder = "https://app.example", tmp_path / "data"
        key = new_key(folder, "write")
        with (
            ServerProcess(folder, *small_flags, "--allowed-origins", page) as process,
            httpx.Client(base_url=process.url) as browser,
        ):
            asked = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
            preflight = browser.options("/v1/tasks", headers=asked)
            assert preflight.status_code == 200, "a preflight brings no key"
            assert preflight.headers["access-control-allow-headers"] == "authorization"
            refused = browser.get("/v1/tasks", headers={"Origin": page})
            assert_problem(refused, 401, "unauthenticated")
            assert refused.headers["access-control-allow-origin"] == page, "the page may read why"
            evil = {"Origin": "https://evil.example", **bearer(key)}
            assert_problem(browser.post("/v1/tasks", headers=evil), 403, "origin_not_allowed")
            assert browser.post("/v1/tasks", headers={"Origin": page, **bearer(key)}).status_code == 415
