"""OIDC tokens at a real server that has no key of its own and listens beyond this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headstart import Client
from server.cache import issuer_keys
from tests.helpers.issuer import AUDIENCE, ISSUER, Issuer, KeySetServer, serving
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess, run_server
from tests.helpers.uploads import create

_PROVIDER = ("--oidc-issuer", ISSUER, "--oidc-audience", AUDIENCE)


def without_pauses() -> None:
    """For `prepare`: the issuer is asked for each name of a key that is not known."""
    issuer_keys.PAUSE_SECONDS = 0.0


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def key_set(issuer: Issuer) -> Iterator[KeySetServer]:
    with serving(issuer.jwks()) as server:
        yield server


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...], key_set: KeySetServer
) -> Iterator[ServerProcess]:
    roles = ("--oidc-scope-claim", "realm_access.roles", "--oidc-scopes", "asker=predict,teacher=write,admin=manage")
    flags = (*small_flags, *_PROVIDER, "--oidc-jwks", key_set.url, *roles, "--host", "0.0.0.0")
    with ServerProcess(tmp_path_factory.mktemp("oidc") / "data", *flags, prepare=without_pauses) as process:
        yield process
        assert process.stop() == 0, process.log()
        assert "Traceback" not in process.log()


def token(issuer: Issuer, *roles: str, **claims: Any) -> str:
    return issuer.token(realm_access={"roles": [*roles, "offline_access"]}, **claims)


def client(server: ServerProcess, bearer: str) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=60, headers={"Authorization": f"Bearer {bearer}"})


def test_the_server_is_closed_without_any_key(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url) as stranger:
        assert stranger.get("/healthz").status_code == 200
        refused = stranger.get("/v1/tasks")
    assert_problem(refused, 401, "unauthenticated")
    assert refused.headers["www-authenticate"] == "Bearer"
    with client(server, "eyJ.eyJ.AAAA") as forger:
        assert forger.get("/healthz").status_code == 200
        assert_problem(forger.get("/v1/tasks"), 401, "unauthenticated")


def test_a_token_tells_of_itself_by_its_subject_alone(server: ServerProcess, issuer: Issuer) -> None:
    with client(server, token(issuer, "asker", email="ann@example.org", name="Ann")) as ann:
        shown = ann.get("/v1/key")
    assert shown.json().pop("expires_at").endswith("Z")
    assert {name: value for name, value in shown.json().items() if name != "expires_at"} == {
        "required": True,
        "id": "oidc:ann",
        "tenant": "birds",
        "scope": "predict",
        "task": None,
    }


def test_tenants_and_scopes_are_those_of_the_claims(server: ServerProcess, issuer: Issuer, support: Labelled) -> None:
    image: dict[str, Any] = {"content": support[0][1], "headers": {"Content-Type": "image/png"}}
    with (
        client(server, token(issuer, "teacher")) as teacher,
        client(server, token(issuer, "asker")) as asker,
        client(server, token(issuer, "admin", tenant="plants")) as stranger,
        client(server, token(issuer)) as nobody,
    ):
        task = create(teacher, support)["id"]
        assert asker.post(f"/v1/tasks/{task}/predict", **image).status_code == 200
        assert_problem(asker.get("/v1/events"), 403, "forbidden")
        assert_problem(teacher.delete(f"/v1/tasks/{task}"), 403, "forbidden")
        assert_problem(stranger.delete(f"/v1/tasks/{task}"), 404, "task_not_found")
        assert_problem(stranger.get("/metrics"), 403, "forbidden")
        refused = nobody.get("/v1/tasks")
        assert_problem(refused, 403, "forbidden")
        assert "yours has no scope" in refused.json()["detail"]
        assert nobody.get("/readyz").status_code == 200
    with client(server, token(issuer, "asker", "admin", tenant="default")) as operator:
        assert operator.get("/metrics").status_code == 200
    with Client(server.url, token=token(issuer, "teacher")) as sdk:
        assert sdk.task(task).id == task
        assert sdk.key().id == "oidc:ann"


def test_keys_serve_beside_tokens(server: ServerProcess, issuer: Issuer) -> None:
    with client(server, token(issuer, "admin")) as admin:
        made = admin.post("/v1/keys", json={"scope": "predict"}).json()
        with client(server, made["token"]) as keyed:
            assert keyed.get("/v1/key").json()["id"] == made["id"]
            assert admin.delete(f"/v1/keys/{made['id']}").status_code == 204
            assert_problem(keyed.get("/v1/key"), 401, "unauthenticated")
        assert_problem(admin.delete("/v1/keys/oidc:ann"), 404, "key_not_found")
        assert admin.get("/v1/key").status_code == 200, "the last key that ends closes tokens as little as it opens the server"


def test_new_keys_of_the_issuer_are_taken_and_known_ones_outlive_it(
    server: ServerProcess, issuer: Issuer, key_set: KeySetServer
) -> None:
    rotated = Issuer()
    rotated.keys = {"next": rotated.keys["rsa"], **issuer.keys}
    with client(server, rotated.token("next", realm_access={"roles": ["asker"]})) as early:
        assert_problem(early.get("/v1/key"), 401, "unauthenticated")
        key_set.text = rotated.jwks()
        assert early.get("/v1/key").status_code == 200
    key_set.status = None
    with client(server, token(issuer, "asker", headers={"kid": "none"})) as unknown:
        assert_problem(unknown.get("/v1/key"), 401, "unauthenticated")
    with client(server, token(issuer, "asker", sub="late")) as known:
        assert known.get("/v1/key").json()["id"] == "oidc:late"
    key_set.status = 200


def test_the_log_has_no_token(server: ServerProcess, issuer: Issuer) -> None:
    for bearer in (token(issuer, "asker"), token(issuer, "asker", exp=1), f"{token(issuer)}x"):
        with client(server, bearer) as caller:
            caller.get("/v1/tasks")
        assert all(part not in server.log() for part in bearer.split(".")[1:])


def test_a_key_set_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    flags = (*_PROVIDER, "--data-dir", str(tmp_path / "data"))
    for jwks, message in (("none.json", "No such file"), (__file__, "malformed")):
        ended = run_server(*flags, "--oidc-jwks", jwks, folder=tmp_path)
        assert ended.returncode == 2
        assert message in ended.stderr.splitlines()[-1]
    ended = run_server(*_PROVIDER, folder=tmp_path)
    assert (ended.returncode, "oidc-jwks" in ended.stderr) == (2, True)
