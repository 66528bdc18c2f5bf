"""A server of several processes with TLS, OIDC, CORS, a path of its own, quotas and traces: whatever answers, it is the same."""

import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest

from tests.helpers.collector import Collector, attributes
from tests.helpers.issuer import AUDIENCE, ISSUER, Issuer
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import RealServer, run_server
from tests.helpers.tls import Secure, certificate
from tests.helpers.uploads import create, multipart, queries

_PAGE = "https://app.example"
_PREFIX = "/headstart"
_TIMES = 4  # so that each worker most likely answers some, and passes some on


class _Server(Secure, RealServer):
    pass


class Site(NamedTuple):
    """A running server, and all that belongs to it."""

    port: int
    context: ssl.SSLContext
    issuer: Issuer
    collector: Collector

    def client(self, scope: str = "manage", tenant: str = "birds", path: str = _PREFIX) -> httpx.Client:
        """A client with a token, that opens a connection for each request, so that any worker may answer."""
        headers = {"Authorization": f"Bearer {self.issuer.token(scope=scope, tenant=tenant)}"}
        limits = httpx.Limits(max_keepalive_connections=0)
        url = f"https://localhost:{self.port}{path}"
        return httpx.Client(base_url=url, headers=headers, verify=self.context, limits=limits, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[Site]:
    folder, issuer = tmp_path_factory.mktemp("site"), Issuer()
    made, private = certificate(folder)
    (folder / "jwks.json").write_text(issuer.jwks())
    tls = ("--ssl-certfile", str(made), "--ssl-keyfile", str(private))
    oidc = ("--oidc-issuer", ISSUER, "--oidc-audience", AUDIENCE, "--oidc-jwks", str(folder / "jwks.json"))
    flags = (
        *tls,
        *oidc,
        "--allowed-origins",
        _PAGE,
        "--root-path",
        _PREFIX,
        "--host",
        "0.0.0.0",
        "--engine",
        "onnx",
        "--max-body-bytes",
        "900000",
    )
    data = folder / "data"
    run_server("keys", "create", "--tenant", "default", "--scope", "manage", "--data-dir", str(data), folder=folder)
    quota = ("--tenant", "slow", "--requests-per-minute", "1", "--data-dir", str(data))
    assert run_server("quotas", "set", *quota, folder=folder).returncode == 0
    with Collector() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        with _Server(data, "--workers", "2", *small_flags, *flags) as server:
            yield Site(int(server.url.rpartition(":")[2]), ssl.create_default_context(cafile=str(made)), issuer, collector)
            assert server.stop() == 0, server.log()
            assert "Traceback" not in server.log()


@pytest.fixture(scope="module")
def task(site: Site, support: Labelled) -> str:
    with site.client() as api:
        id_: str = create(api, support[::5])["id"]
        return id_


@pytest.mark.parametrize("path", [_PREFIX, ""], ids=["a proxy leaves the prefix", "a proxy strips it"])
def test_tokens_open_what_their_claims_say_whoever_answers(site: Site, task: str, support: Labelled, path: str) -> None:
    with site.client("predict", path=path) as asker, site.client(tenant="plants", path=path) as stranger:
        for _ in range(_TIMES):
            answer = asker.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]]))
            nearest = answer.json()["predictions"][0]["nearest"]
            assert all(found["image"].startswith(f"{_PREFIX}/v1/tasks/{task}/") for found in nearest)
            assert_problem(asker.post("/v1/tasks", **multipart(support[::5])), 403, "forbidden")
            assert_problem(stranger.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])), 404, "task_not_found")
            assert_problem(stranger.get(f"/v1/tasks/{task}"), 404, "task_not_found")
            assert_problem(asker.get("/v1/tasks", headers={"Authorization": "Bearer x"}), 401, "unauthenticated")


def test_changes_that_are_passed_on_are_at_addresses_under_the_path(site: Site, support: Labelled) -> None:
    with site.client() as api:
        made = api.post("/v1/tasks", **multipart(support[::5]))
        assert made.headers["location"] == f"{_PREFIX}/v1/tasks/{made.json()['id']}"
        assert httpx.URL(str(api.base_url)).join(made.headers["location"]).scheme == "https"
        assert api.delete(f"/v1/tasks/{made.json()['id']}").status_code == 204
        assert api.head("/v1/tasks").headers["content-length"] != "0"


def test_pages_that_are_allowed_read_every_answer(site: Site, task: str, support: Labelled) -> None:
    """Also those of changes, and those with which a worker refuses what it would pass on."""
    page = {"Origin": _PAGE, "Sec-Fetch-Site": "cross-site"}
    with site.client() as api:
        for _ in range(_TIMES):
            asked = api.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]]), headers=page)
            changed = api.patch(f"/v1/tasks/{task}", json={"name": "birds"}, headers=page)
            large = api.post("/v1/tasks", content=iter([b" " * 1_000_000]), headers={**page, "Content-Type": "application/json"})
            assert [answer.status_code for answer in (asked, changed, large)] == [200, 200, 413]
            for answer in (asked, changed, large):
                assert answer.headers["access-control-allow-origin"] == _PAGE
            wanted = {**page, "Access-Control-Request-Method": "PATCH"}
            assert api.options(f"/v1/tasks/{task}", headers=wanted).headers["access-control-allow-origin"] == _PAGE
            foreign = {**page, "Origin": "https://other.example"}
            assert_problem(api.patch(f"/v1/tasks/{task}", json={"name": "no"}, headers=foreign), 403, "origin_not_allowed")


def test_what_the_owner_refuses_does_not_wait_for_the_body(site: Site) -> None:
    """As on a server of one process. Without a quota the server would wait for the body, and answer 408."""
    token = site.issuer.token(scope="write", tenant="slow")
    head = f"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"

    def status(lengths: str, body: bytes) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", site.port), timeout=10) as plain,
            site.context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(f"{head}{lengths}\r\n".encode() + body)
            return connection.recv(12)

    with site.client("predict", "slow") as caller:
        assert caller.get("/v1/limits").status_code == 200
    assert status("Content-Length: 500000\r\n", b"begun") == b"HTTP/1.1 429"
    assert status("Transfer-Encoding: chunked\r\n", b"5\r\nbegun\r\n") == b"HTTP/1.1 429"


def test_traces_say_that_requests_came_over_tls(site: Site, task: str, support: Labelled) -> None:
    with site.client() as api:
        api.patch(f"/v1/tasks/{task}", json={"name": "traced"})
        api.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]]))

    for name in ("PATCH /v1/tasks/{task}", "POST /v1/tasks/{task}/predict"):
        spans = site.collector.wait_for(lambda spans, name=name: any(span.name == name for span in spans))  # type: ignore[misc]
        assert {attributes(span)["url.scheme"] for span in spans if span.name == name} == {"https"}
