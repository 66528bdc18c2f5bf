"""What web pages can make a browser send: pages of other sites, and pages whose name points at this machine (DNS rebinding)."""

from collections.abc import Iterator

import httpx
import pytest

from server.errors import HostNotAllowed
from server.http.hosts import host_check
from server.settings import InvalidSettings, Settings, load_settings
from tests.helpers.problems import assert_problem
from tests.helpers.raw_http import code_of, exchange, statuses
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart, queries

_PAGE = "https://app.example"
_PAGES = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)
_OWN: tuple[dict[str, str], ...] = ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"})


@pytest.fixture(scope="module")
def task(server: ServerProcess, support: Labelled) -> str:
    with httpx.Client(base_url=server.url, timeout=60) as api:
        id_: str = create(api, support)["id"]
        return id_


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:9000", "localhost.", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:8000", "localhost:"]
    )
    def test_loopback_names_are_served(self, api: httpx.Client, host: str) -> None:
        assert api.get("/healthz", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0", "[::2]"],
    )
    def test_any_other_is_refused_and_named_in_the_log(
        self, server: ServerProcess, api: httpx.Client, task: str, host: str
    ) -> None:
        for method, path in (
            ("GET", "/healthz"),
            ("GET", f"/v1/tasks/{task}"),
            ("DELETE", f"/v1/tasks/{task}"),
            ("GET", "/docs"),
        ):
            assert_problem(api.request(method, path, headers={"Host": host}), 421, "host_not_allowed")
        assert api.get(f"/v1/tasks/{task}").status_code == 200
        assert f"the host '{host.removesuffix(':8000')}'" in server.log()

    @pytest.mark.parametrize(
        "hosts",
        [
            [],
            ["localhost", "localhost"],
            ["localhost", "evil.example"],
            [""],
            ["localhost:80@evil.example"],
            ["local host"],
            ["a,b"],
        ],
        ids=str,
    )
    def test_no_host_or_two_or_none_that_is_one(self, server: ServerProcess, hosts: list[str]) -> None:
        lines = "".join(f"Host: {host}\r\n" for host in hosts)
        replies = exchange(server.url, f"GET /healthz HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
        assert (statuses(replies), code_of(replies)) == ([400], "malformed_request")

    def test_the_name_in_the_url_counts_where_there_is_one(self, server: ServerProcess) -> None:
        def ask(url: str, host: str) -> list[int]:
            return statuses(
                exchange(server.url, f"GET {url}/healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            )

        assert ask("http://evil.example", "localhost") == [421]
        assert ask("http://localhost:80", "evil.example") == [200]
        assert ask("http://[::1]:8000", "localhost") == [200]

    def test_names_below_a_star(self) -> None:
        check = host_check(frozenset({"*.example.org", "api.test"}))
        for host in (b"a.example.org", b"a.b.Example.org:443", b"api.test", b"localhost"):
            check({"headers": [(b"host", host)]})
        for host in (b"example.org", b"badexample.org", b"a.api.test", b"example.org.evil.example"):
            with pytest.raises(HostNotAllowed):
                check({"headers": [(b"host", host)]})


class TestPages:
    @pytest.mark.parametrize("page", _PAGES, ids=str)
    def test_of_others_change_nothing_and_cost_nothing(
        self, api: httpx.Client, task: str, support: Labelled, page: dict[str, str]
    ) -> None:
        image = [support[0][1]]
        before = api.get("/v1/tasks").json()["tasks"][0]["id"]
        for response in (
            api.post("/v1/tasks", **multipart(support), headers=page),
            api.post(f"/v1/tasks/{task}/examples", **multipart(support[:1]), headers=page),
            api.post(f"/v1/tasks/{task}/predict", **queries(image), headers=page),
            api.post("/v1/predict?tasks=all", **queries(image), headers=page),
            api.post(f"/v1/tasks/{task}/compare", headers=page),
            api.post("/v1/refreshes", content="{}", headers={**page, "Content-Type": "text/plain"}),
            api.patch(f"/v1/tasks/{task}", json={"name": "theirs"}, headers=page),
            api.delete(f"/v1/tasks/{task}", headers=page),
            api.get(f"/v1/tasks/{task}/quality", headers=page),
            api.get("/readyz", headers=page),
        ):
            assert_problem(response, 403, "origin_not_allowed")
        assert api.get("/v1/tasks").json()["tasks"][0]["id"] == before
        assert api.get(f"/v1/tasks/{task}").json()["version"] == 1

    @pytest.mark.parametrize("page", _PAGES, ids=str)
    def test_of_others_may_link_here_but_not_read(self, api: httpx.Client, page: dict[str, str]) -> None:
        response = api.get("/v1/backbones", headers=page)
        assert response.status_code == 200
        preflight = api.options("/v1/tasks", headers={**page, "Access-Control-Request-Method": "POST"})
        assert not [name for answer in (response, preflight) for name in answer.headers if name.startswith("access-control")]

    @pytest.mark.parametrize("page", _OWN, ids=str)
    def test_of_ones_own_are_served(self, server: ServerProcess, api: httpx.Client, task: str, page: dict[str, str]) -> None:
        origin = {"Origin": server.url} if page else {}
        assert api.patch(f"/v1/tasks/{task}", json={"name": "mine"}, headers={**page, **origin}).status_code == 200

    def test_behind_a_proxy_that_ends_tls(self, api: httpx.Client, task: str) -> None:
        headers = {"Host": "localhost", "Origin": "https://localhost", "Sec-Fetch-Site": "same-origin"}
        assert api.patch(f"/v1/tasks/{task}", json={"name": "mine"}, headers=headers).status_code == 200


@pytest.fixture(scope="module")
def open_api(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[httpx.Client]:
    """A server that pages of `_PAGE` may use, under two names."""
    data = tmp_path_factory.mktemp("allowed") / "data"
    flags = (*small_flags, "--allowed-origins", f"{_PAGE}, http://other.example:81", "--allowed-hosts", "api.example")
    with ServerProcess(data, *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        yield api


class TestSettings:
    def test_a_page_of_an_allowed_origin_is_served(self, open_api: httpx.Client, support: Labelled) -> None:
        page = {"Origin": _PAGE, "Sec-Fetch-Site": "cross-site", "Host": "api.example"}
        asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key"}
        preflight = open_api.options("/v1/tasks", headers={**page, **asking})
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == _PAGE
        assert "idempotency-key" in preflight.headers["access-control-allow-headers"]
        created = open_api.post("/v1/tasks", **multipart(support), headers=page)
        unknown = open_api.get("/v1/tasks/unknown", headers=page)
        assert (created.status_code, unknown.status_code) == (201, 404)
        for answer in (created, unknown):
            assert answer.headers["access-control-allow-origin"] == _PAGE
            assert "Location" in answer.headers["access-control-expose-headers"]

    def test_any_other_is_not(self, open_api: httpx.Client, support: Labelled) -> None:
        response = open_api.post("/v1/tasks", **multipart(support), headers={"Origin": "https://evil.example"})
        assert_problem(response, 403, "origin_not_allowed")
        assert "access-control-allow-origin" not in response.headers
        assert_problem(open_api.get("/healthz", headers={"Host": "evil.example"}), 421, "host_not_allowed")

    def test_beyond_loopback_any_name_is_served_unless_some_are_set(self) -> None:
        assert load_settings([]).hosts == frozenset()
        assert load_settings(["--host", "0.0.0.0", "--insecure"]).hosts == {"*"}
        assert load_settings(["--host", "0.0.0.0", "--insecure", "--allowed-hosts", "a.test, B.test"]).hosts == {
            "a.test",
            "b.test",
        }
        assert Settings(host="::1", allowed_hosts="*").hosts == {"*"}

    @pytest.mark.parametrize(
        ("flag", "value"),
        [
            ("--allowed-hosts", "http://a.test"),
            ("--allowed-hosts", "a.test:80"),
            ("--allowed-hosts", "a.*"),
            ("--allowed-origins", "a.test"),
            ("--allowed-origins", "*"),
            ("--allowed-origins", "https://a.test/"),
            ("--allowed-origins", "null, https://a.test"),
        ],
    )
    def test_what_is_none_is_told(self, flag: str, value: str) -> None:
        with pytest.raises(InvalidSettings, match=f"{flag[2:]}: .* is not"):
            load_settings([flag, value])
