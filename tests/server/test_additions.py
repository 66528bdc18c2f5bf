"""Many clients that change one task at the same time: they wait for each other, and each is answered."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from server.errors import Conflict, VersionNotFound
from server.http.problems import documented
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart

CLIENTS = 24


def test_additions_to_one_task_wait_for_each_other(server: ServerProcess, api: httpx.Client, support: Labelled) -> None:
    path = f"/v1/tasks/{create(api, support)['id']}"
    first = api.get(f"{path}/examples").json()["examples"][0]["id"]

    def change(client: int) -> httpx.Response:
        with httpx.Client(base_url=server.url, timeout=60) as own:
            if client == CLIENTS // 2:
                return own.delete(f"{path}/examples/{first}", params={"forget": "true"})
            return own.post(f"{path}/examples", **multipart([support[client % len(support)]]))

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(change, range(CLIENTS)))
    assert [answer.status_code for answer in answers] == [200 if i == CLIENTS // 2 else 201 for i in range(CLIENTS)]
    assert {answer.json()["version"] for answer in answers} == set(range(2, CLIENTS + 2))
    examples = api.get(f"{path}/examples", params={"limit": 1000}).json()["examples"]
    assert len({example["id"] for example in examples}) == len(support) + CLIENTS - 2


def test_what_is_worth_trying_again_says_when() -> None:
    assert "Retry-After" in documented(Conflict)[409]["headers"]
    assert "headers" not in documented(VersionNotFound)[404]
