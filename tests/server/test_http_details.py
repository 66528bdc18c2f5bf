"""What HTTP asks of every path: HEAD, `Allow`, paths with a slash too many, and a proxy's prefix."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from headstart import Client
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart, queries

_PREFIX = "/few/shots"


@pytest.fixture(scope="module")
def task(server: ServerProcess, support: Labelled) -> str:
    with httpx.Client(base_url=server.url, timeout=60) as api:
        id_: str = create(api, support)["id"]
        return id_


class TestHead:
    def test_is_answered_as_get_without_the_body(self, api: httpx.Client, task: str) -> None:
        example = api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
        for path in (
            "/healthz",
            "/readyz",
            "/",
            "/page/page.js",
            "/docs",
            "/openapi.json",
            "/v1/tasks?limit=1",
            f"/v1/tasks/{task}",
            f"/v1/tasks/{task}/examples/{example}/image",
            "/v1/tasks/unknown",
            "/nowhere",
        ):
            head, get = api.head(path), api.get(path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            for name in ("content-type", "content-length"):
                assert head.headers[name] == get.headers[name], path

    def test_the_connection_goes_on(self, server: ServerProcess) -> None:
        with httpx.Client(base_url=server.url, limits=httpx.Limits(max_connections=1)) as api:
            assert [api.request(method, "/v1/tasks").status_code for method in ("HEAD", "GET", "HEAD")] == [200] * 3

    def test_is_logged_and_counted_as_what_it_is(self, server: ServerProcess, api: httpx.Client) -> None:
        api.head("/v1/backbones")
        assert 'headstart_responses_total{method="HEAD",route="/v1/backbones",status="200"}' in api.get("/metrics").text
        assert "HEAD /v1/backbones 200" in server.log()

    def test_where_there_is_no_get(self, api: httpx.Client) -> None:
        response = api.head("/v1/predict")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_allow_names_every_method_of_a_path(api: httpx.Client) -> None:
    """As the OpenAPI document has them."""
    for path, operations in api.get("/openapi.json").json()["paths"].items():
        methods = {method.upper() for method in operations}
        expected = methods | ({"HEAD"} if "GET" in methods else set())
        for method in {"PUT", "OPTIONS", "GET", "POST", "PATCH", "DELETE"} - methods:
            response = api.request(method, re.sub(r"\{\w+\}", "x", path))
            assert_problem(response, 405, "method_not_allowed")
            assert set(response.headers["allow"].split(", ")) == expected, (method, path)


def test_a_slash_at_the_end_leads_nowhere_else(api: httpx.Client, task: str) -> None:
    for path in ("/v1/tasks/", f"/v1/tasks/{task}/", f"/v1/tasks/{task}/predict/", "/healthz/", "/docs/"):
        for method in ("GET", "POST"):
            response = api.request(method, path, headers={"Host": "localhost"})
            assert_problem(response, 404, "not_found")
            assert "slash" in response.json()["detail"]


def test_a_line_break_at_the_end_is_part_of_a_path(api: httpx.Client, task: str) -> None:
    for path in ("/v1/tasks", f"/v1/tasks/{task}/predict", f"/v1/tasks/{task}/examples"):
        assert_problem(api.post(f"{path}%0A"), 404, "not_found")


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("prefixed") / "data", *small_flags, "--root-path", f"{_PREFIX}/") as process:
        yield process


class TestRootPath:
    @pytest.mark.parametrize("proxy", ["", _PREFIX], ids=["strips it", "leaves it"])
    def test_every_address_begins_with_it(self, prefixed: ServerProcess, support: Labelled, proxy: str) -> None:
        """Behind a proxy that removes the prefix, and behind one that does not."""
        with httpx.Client(base_url=prefixed.url + proxy, timeout=60, follow_redirects=False) as api:
            created = api.post("/v1/tasks", **multipart(support), headers={"Idempotency-Key": f"key-{proxy}"})
            again = api.post("/v1/tasks", **multipart(support), headers={"Idempotency-Key": f"key-{proxy}"})
            task = created.json()["id"]
            assert created.headers["location"] == again.headers["location"] == f"{_PREFIX}/v1/tasks/{task}"
            one = api.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).json()["predictions"][0]
            many = api.post(f"/v1/predict?tasks={task}&unknown=judge", **queries([support[0][1]]))
            for found in (one, many.json()["results"][0]["predictions"][0]):
                for neighbour in found["nearest"]:
                    assert neighbour["image"] == f"{_PREFIX}/v1/tasks/{task}/examples/{neighbour['example']}/image"
            for path in ("/", "/docs"):
                page = httpx.URL("http://localhost/").join(f"{_PREFIX}{path}")
                scripts = [page.join(source).path for source in re.findall(r'<script src="([^"]+)"', api.get(path).text)]
                assert scripts
                for script in scripts:
                    assert script.startswith(f"{_PREFIX}/")
                    assert api.get(script.removeprefix(_PREFIX)).status_code == 200
            assert api.get("/openapi.json").json()["servers"] == [{"url": _PREFIX}]
            assert_problem(api.get("/v1/tasks/"), 404, "not_found")
            assert api.put("/v1/tasks").headers["allow"] == "GET, HEAD, POST"

    def test_the_python_client_takes_it_in_its_address(self, prefixed: ServerProcess, support: Labelled) -> None:
        with Client(prefixed.url + _PREFIX) as client:
            task = client.create_task("prefixed", support)
            assert client.predict(task.id, [support[0][1]]).checked()[0].label == support[0][0]

    def test_without_it_addresses_have_no_prefix(self, api: httpx.Client, task: str, support: Labelled) -> None:
        found = api.post(f"/v1/tasks/{task}/predict", **queries([support[0][1]])).json()["predictions"][0]
        assert all(urlsplit(neighbour["image"]).path.startswith(f"/v1/tasks/{task}/") for neighbour in found["nearest"])
        assert "servers" not in api.get("/openapi.json").json()
