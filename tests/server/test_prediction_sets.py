"""`?coverage=` over HTTP: sets of labels, and what is refused."""

from typing import Any

import httpx
import numpy as np
import pytest

from headstart import Client
from headstart.__main__ import main
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart
from tests.helpers.uploads import queries as many_images


def ask(api: httpx.Client, task: str, images: list[bytes], **params: Any) -> httpx.Response:
    return api.post(f"/v1/tasks/{task}/predict", params=params, **many_images(images))


def test_sets_are_asked_for_and_grow_with_coverage(api: httpx.Client, support: Labelled, queries: Labelled) -> None:
    made = create(api, support)
    task, groups = made["id"], made["quality"]["groups"]
    images = [image for _, image in queries]
    plain = ask(api, task, images).json()
    assert "coverage" not in plain
    assert all("set" not in one for one in plain["predictions"])
    before: list[set[str]] = [set() for _ in images]
    for coverage in (0.5, 0.8, 0.95):
        reply = ask(api, task, [*images[:3], b"no image", *images[3:]], coverage=coverage, top_k=1).json()
        assert reply["coverage"] == {"asked": coverage, "finest": pytest.approx(groups / (groups + 1))}
        assert "error" in reply["predictions"].pop(3)
        for one, other, smaller in zip(reply["predictions"], plain["predictions"], before, strict=True):
            assert one["set"] == list(other["scores"])[: len(one["set"])], "the most probable labels, in that order"
            assert smaller <= set(one["set"])
        before = [set(one["set"]) for one in reply["predictions"]]


def test_sets_follow_the_support_set(api: httpx.Client, support: Labelled, queries: Labelled) -> None:
    firsts = list({label: (label, image) for label, image in support}.values())
    task = create(api, firsts)
    found = ask(api, task["id"], [queries[0][1]], coverage=0.9).json()
    assert found["coverage"]["finest"] is None
    assert found["predictions"][0]["set"], "with one example a class no set is empty"
    more = [(label, image) for label, image in support if (label, image) not in firsts]
    added = api.post(f"/v1/tasks/{task['id']}/examples", **multipart(more)).raise_for_status().json()["quality"]["groups"]
    later = ask(api, task["id"], [queries[0][1]], coverage=0.9).json()
    assert (later["version"], later["coverage"]["finest"]) == (2, pytest.approx(added / (added + 1)))
    example = api.get(f"/v1/tasks/{task['id']}/examples").json()["examples"][-1]["id"]
    forgotten = api.delete(f"/v1/tasks/{task['id']}/examples/{example}", params={"forget": True}).raise_for_status().json()
    left = forgotten["quality"]["groups"]
    last = ask(api, task["id"], [queries[0][1]], coverage=0.9).json()
    assert last["coverage"]["finest"] == pytest.approx(left / (left + 1))


@pytest.mark.parametrize("coverage", ["0", "1", "-0.5", "1.5", "nan", "inf", "much", ""])
def test_a_coverage_that_is_no_share_is_refused(api: httpx.Client, support: Labelled, queries: Labelled, coverage: str) -> None:
    task = create(api, support[::5])["id"]
    refused = ask(api, task, [queries[0][1]], coverage=coverage)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_images_judged_together_have_no_sets(api: httpx.Client, support: Labelled, queries: Labelled) -> None:
    task = create(api, support)["id"]
    refused = ask(api, task, [queries[0][1]], coverage=0.9, mode="transductive")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("options", ['{"solver": "ridge", "temperature": 0.2}', '{"solver": "prototype"}', '{"C": 0.1}'])
def test_a_task_with_options_of_its_own_has_sets(api: httpx.Client, support: Labelled, queries: Labelled, options: str) -> None:
    task = create(api, support, options=options)["id"]
    for unknown in ("judge", "ignore"):
        reply = ask(api, task, [image for _, image in queries], coverage=0.9, unknown=unknown).json()
        held = [label in one["set"] for (label, _), one in zip(queries, reply["predictions"], strict=True)]
        assert np.mean(held) > 0.5


def test_the_client_and_the_command_show_them(
    server: ServerProcess, support: Labelled, queries: Labelled, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(server.url) as client:
        task = client.create_task("sets", support)
        found = client.predict(task.id, [image for _, image in queries], coverage=0.9)
        assert found.coverage is not None
        assert found.coverage.asked == 0.9
        assert all(one.set is not None for one in found.checked())
        assert client.predict(task.id, [queries[0][1]]).checked()[0].set is None
    file = tmp_path / "1.png"
    file.write_bytes(queries[0][1])
    assert main(["predict", task.id, str(file), "--coverage", "0.99", "--url", server.url]) == 0
    printed = capsys.readouterr()
    assert "set" in printed.out
    assert "too few examples" in printed.err
