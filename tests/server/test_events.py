"""Events over real HTTP: told of every way to change a task, also after a restart, and without a word of anybody's."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from server.store.tables import events
from tests.helpers.bundles import small_bundle
from tests.helpers.databases import statements_in
from tests.helpers.images import encode, noise
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart, predict, queries


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("bundles")
    for version in ("1", "2"):
        small_bundle(shipped_bundle, folder, "small", version)
    return ("--bundles-dir", str(folder), "--bundle", "small@1")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events") / "data"


@pytest.fixture(scope="module")
def server(data_dir: Path, flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(data_dir, *flags) as process:
        yield process
        assert process.stop() == 0, process.log()


RED, BLUE = 0, 2


def image(seed: int, colour: int) -> bytes:
    """An image of its own, of 16 squares, rather red or rather blue."""
    squares = noise(4, 4, seed=seed) // 2
    squares[..., colour] += 128
    return encode(np.kron(squares, np.ones((8, 8, 1), np.uint8)))


def pets(seed: int, cat: str = "cat", dog: str = "dog") -> list[tuple[str, bytes]]:
    """Four red cats and four blue dogs."""
    return [(label, image(100 * seed + 10 * colour + k, colour)) for label, colour in ((cat, RED), (dog, BLUE)) for k in range(4)]


def ask(api: httpx.Client, **params: str | int) -> dict[str, Any]:
    response = api.get("/v1/events", params=params)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def now_at(api: httpx.Client) -> str:
    page = ask(api, after="latest")
    assert (page["events"], page["missed"]) == ([], False)
    return str(page["next"])


def told(api: httpx.Client, after: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = ask(api, after=after, limit=1000)["events"]
    return events


def facts(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(event["type"], event["version"], event["version_before"], event["change"]) for event in events]


def test_every_way_to_change_a_task_is_told(api: httpx.Client) -> None:
    start = now_at(api)
    task = create(api, pets(1))
    path = f"/v1/tasks/{task['id']}"
    added = api.post(f"{path}/examples", **multipart([("cat", image(7, RED))])).json()
    first, second, *_ = [each["id"] for each in api.get(f"{path}/examples").json()["examples"]]
    api.delete(f"{path}/examples/{first}")
    api.patch(f"{path}/examples/{second}", json={"label": None})
    api.patch(path, json={"active_version": 2, "name": "renamed"})
    api.patch(path, json={"name": "renamed again"})
    api.delete(f"{path}/examples/{first}", params={"forget": True})
    prediction = api.post(f"{path}/predict", params={"remember": "true"}, **queries([image(8, BLUE)])).json()["predictions"][0]
    api.post(f"{path}/corrections", json={"prediction": prediction["prediction"], "label": "dog"})
    refused = api.post(f"{path}/examples", **multipart([("cat", b"no image")]))
    assert refused.status_code == 422
    api.delete(path)
    events = told(api, start)
    assert facts(events) == [
        ("version_created", 1, None, "created"),
        ("version_created", 2, 1, "added"),
        ("version_created", 3, 2, "removed"),
        ("version_created", 4, 3, "relabelled"),
        ("version_activated", 2, 4, None),
        ("version_created", 5, 2, "removed"),
        ("version_created", 6, 5, "added"),
        ("task_deleted", None, None, None),
    ]
    assert {event["task"] for event in events} == {task["id"]}
    assert events[1]["accuracy"] == added["quality"]["accuracy"]
    assert ask(api, after=events[-1]["id"])["next"] == events[-1]["id"] == now_at(api)


def test_pages_follow_each_other(api: httpx.Client) -> None:
    start = now_at(api)
    tasks = [create(api, pets(2 + number))["id"] for number in range(3)]
    seen, after = [], start
    while (page := ask(api, after=after, limit=2))["events"]:
        seen += page["events"]
        after = page["next"]
    assert [event["task"] for event in seen] == tasks
    assert page["next"] == after
    everything = ask(api, limit=1000)["events"]
    assert everything[-3:] == seen


def test_a_fall_of_quality_is_told_of_an_addition_and_of_a_return_to_it(api: httpx.Client) -> None:
    task = create(api, pets(6))
    start = now_at(api)
    wrong = [(label, image(700 + 10 * colour + k, colour)) for label, colour in (("cat", BLUE), ("dog", RED)) for k in range(4)]
    spoilt = api.post(f"/v1/tasks/{task['id']}/examples", **multipart(wrong)).json()
    before, after = task["quality"]["accuracy"], spoilt["quality"]["accuracy"]
    assert before - after > 0.05
    for version in (1, 2):
        api.patch(f"/v1/tasks/{task['id']}", json={"active_version": version})
    events = told(api, start)
    assert [event["type"] for event in events] == [
        "version_created",
        "quality_fell",
        "version_activated",
        "version_activated",
        "quality_fell",
    ]
    for fell in (events[1], events[4]):
        assert (fell["accuracy_before"], fell["accuracy"]) == (before, after)
        assert (fell["version_before"], fell["version"]) == (1, 2)


def test_captures_that_wait_are_told_once(api: httpx.Client) -> None:
    task = create(api, pets(8), capture='{"keep": "all", "notify": 2}')
    assert task["capture"]["notify"] == 2
    start = now_at(api)
    path = f"/v1/tasks/{task['id']}"
    predict(api, task["id"], [image(8000 + k, RED) for k in range(3)])  # stored in the background
    for _ in range(200):
        if events := told(api, start):
            break
        time.sleep(0.05)
    assert [(event["type"], event["captures"]) for event in events] == [("captures_waiting", 3)]
    api.post(f"{path}/predict", params={"remember": "true"}, **queries([image(8010, RED)]))
    assert len(told(api, start)) == 1
    waiting = api.get(f"{path}/captures", params={"order": "newest", "limit": 100}).json()["captures"]
    ids = [id_ for entry in waiting for id_ in (entry["id"], *entry["alike"])]
    assert api.post(f"{path}/captures/resolve", json={"decisions": [{"captures": ids[:3], "discard": True}]}).is_success
    api.post(f"{path}/predict", params={"remember": "true"}, **queries([image(8011, RED)]))
    assert len(told(api, start)) == 2
    assert api.patch(path, json={"capture": {"notify": None}}).json()["capture"]["notify"] is None
    assert api.patch(path, json={"capture": {"days": 3}}).json()["capture"] == {
        "keep": "all",
        "limit": 1000,
        "days": 3,
        "notify": None,
    }


@pytest.mark.parametrize("notify", [0, 10_001, "2", True, 1.5])
def test_what_is_no_number_of_captures_is_refused(api: httpx.Client, notify: object) -> None:
    task = create(api, pets(9))
    refused = api.patch(f"/v1/tasks/{task['id']}", json={"capture": {"notify": notify}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("params", [{"after": "x"}, {"after": ""}, {"limit": 0}, {"limit": 1001}, {"cursor": "x"}])
def test_what_cannot_be_asked_is_refused(api: httpx.Client, params: dict[str, str]) -> None:
    refused = api.get("/v1/events", params=params)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_a_refresh_and_its_rollback_are_told_task_by_task(api: httpx.Client) -> None:
    tasks = [create(api, pets(10 + number))["id"] for number in range(3)]
    start = now_at(api)
    refresh = api.post("/v1/refreshes", json={"to": "small@2", "tasks": tasks, "max_drop": 1}).json()["id"]
    until_state(api, refresh, "finished")
    moved = told(api, start)
    assert facts(moved) == [("version_created", 2, 1, "refreshed")] * 3
    assert {event["task"] for event in moved} == set(tasks)
    back = now_at(api)
    api.post(f"/v1/refreshes/{refresh}/rollback")
    until_state(api, refresh, "rolled_back")
    assert facts(told(api, back)) == [("version_activated", 1, 2, None)] * 3


def until_state(api: httpx.Client, refresh: str, state: str) -> None:
    for _ in range(600):
        if api.get(f"/v1/refreshes/{refresh}").json()["state"] == state:
            return
        time.sleep(0.05)
    raise AssertionError(f"{refresh} never was {state}")


def test_no_event_holds_anything_to_forget(api: httpx.Client, data_dir: Path) -> None:
    secrets = ("Unmistakable Label", "Unmistakable Other", "Unmistakable Name", "unmistakable.png")
    task = create(api, pets(20, cat=secrets[0], dog=secrets[1]), name=secrets[2])
    files, labels = [("images", (secrets[3], image(2000, RED)))], {"labels": [secrets[0]]}
    assert api.post(f"/v1/tasks/{task['id']}/examples", files=files, data=labels).is_success
    with statements_in(data_dir) as database:
        rows = database.execute(select(events)).all()
    assert any(task["id"] in row for row in rows)
    assert not [row for row in rows for value in row if "nmistakable" in str(value)]


def test_a_restart_loses_none_and_tells_none_twice(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        start = now_at(api)
        task = create(api, pets(30))["id"]
        between = now_at(api)
        process.process.kill()
        process.process.wait(10)
    flags = (*flags, "--quality-drop", "1", "--event-days", "7")
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        api.delete(f"/v1/tasks/{task}")
        assert [event["type"] for event in told(api, start)] == ["version_created", "task_deleted"]
        assert [event["type"] for event in told(api, between)] == ["task_deleted"]
