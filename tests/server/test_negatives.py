"""Images of none of the classes, over real HTTP: they change what is known, and nothing else; and they go where examples go."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from headstart import Client
from tests.helpers.bundles import SMALL, small_bundle
from tests.helpers.images import encode, noise
from tests.helpers.leftovers import found_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE, ServerProcess
from tests.helpers.uploads import as_archive, base64_of, create, multipart, predict

Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture(scope="module")
def three(support: Labelled) -> Labelled:
    """The support set of three of the five classes: images of the others are strangers."""
    wanted = sorted({label for label, _ in support})[:3]
    return [(label, image) for label, image in support if label in wanted]


@pytest.fixture(scope="module")
def strangers(support: Labelled, three: Labelled) -> list[bytes]:
    """Ten images of two other classes."""
    return [image for label, image in support if label not in {label for label, _ in three}]


@pytest.fixture
def task(api: httpx.Client, three: Labelled) -> str:
    return str(create(api, three)["id"])


def negatives(images: list[bytes]) -> dict[str, Any]:
    files: Files = [("negatives", (f"{number}.png", image)) for number, image in enumerate(images)]
    return {"files": files}


def add(api: httpx.Client, task: str, images: list[bytes]) -> dict[str, Any]:
    response = api.post(f"/v1/tasks/{task}/examples", **negatives(images))
    assert response.status_code == 201, response.text
    changed: dict[str, Any] = response.json()
    return changed


def listed(api: httpx.Client, task: str, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/v1/tasks/{task}/examples", params=params).json()["examples"]
    return found


def without_novelty(predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name not in {"known", "novelty"}} for one in predictions]


def test_negatives_change_what_is_known_and_nothing_else(
    api: httpx.Client, task: str, three: Labelled, queries: Labelled, strangers: list[bytes]
) -> None:
    images = [image for _, image in queries]
    theirs = [number for number, (label, _) in enumerate(queries) if label not in {label for label, _ in three}]
    before, quality = predict(api, task, images), api.get(f"/v1/tasks/{task}/quality").json()
    changed = add(api, task, strangers)
    assert (changed["version"], changed["negatives"]) == (2, 10)
    assert [each["examples"] for each in changed["classes"]] == [5, 5, 5]
    after = predict(api, task, images)
    assert without_novelty(after) == without_novelty(before), "the head, and the neighbours, are those of the examples"
    novelty = [sum(found[number]["novelty"] for number in theirs) for found in (before, after)]
    assert novelty[1] > novelty[0] + 0.05 * len(theirs)
    assert sum(one["known"] for one in predict(api, task, strangers)) < sum(before[number]["known"] for number in theirs), (
        "themselves"
    )
    assert all((one["novelty"] <= 0.5) == one["known"] for one in after)

    now = api.get(f"/v1/tasks/{task}/quality").json()
    assert {**now, "version": 1} == quality
    assert api.get(f"/v1/tasks/{task}").json()["negatives"] == 10
    assert [each["negatives"] for each in api.get(f"/v1/tasks/{task}/versions").json()["versions"]] == [10, 0]
    compared = api.post(f"/v1/tasks/{task}/compare", json={"candidates": [{"options": {"solver": "prototype"}}]}).json()
    assert compared["candidates"][0]["judged"] == 15

    api.patch(f"/v1/tasks/{task}", json={"active_version": 1}).raise_for_status()
    assert predict(api, task, images) == before
    api.patch(f"/v1/tasks/{task}", json={"active_version": 2}).raise_for_status()
    assert predict(api, task, images) == after


def test_a_call_of_many_tasks_judges_with_them(api: httpx.Client, task: str, strangers: list[bytes]) -> None:
    add(api, task, strangers)
    response = api.post("/v1/predict", json={"images": [base64_of(strangers[0])], "tasks": [task]}, params={"unknown": "judge"})
    (one,) = response.json()["results"][0]["predictions"]
    (alone,) = predict(api, task, strangers[:1])
    assert one["known"] is alone["known"] is False
    assert one["novelty"] == pytest.approx(alone["novelty"], abs=1e-3)


def test_every_form_of_body_takes_them(api: httpx.Client, three: Labelled, strangers: list[bytes]) -> None:
    labelled = [{"label": label, "image": base64_of(image)} for label, image in three]
    unlabelled = [{"label": None, "image": base64_of(image), "file_name": "s.png"} for image in strangers[:2]]
    form, archive = multipart(three), as_archive([(f"{label}/{n}.png", image) for n, (label, image) in enumerate(three)])
    bodies: list[dict[str, Any]] = [
        {"json": {"examples": [unlabelled[0], *labelled, unlabelled[1]]}},
        {**form, "files": [*negatives(strangers[:2])["files"], *form["files"]]},
        {**archive, "files": [*archive["files"], *negatives(strangers[:2])["files"]]},
    ]
    verdicts = []
    for body in bodies:
        response = api.post("/v1/tasks", **body)
        assert response.status_code == 201, response.text
        made = response.json()
        assert (made["negatives"], sum(each["examples"] for each in made["classes"])) == (2, 15)
        assert [each["label"] for each in listed(api, made["id"], negatives=True)] == [None, None]
        verdicts.append([one["novelty"] for one in predict(api, made["id"], strangers[:4])])
    assert verdicts[1] == pytest.approx(verdicts[0], abs=1e-3)
    assert verdicts[2] == pytest.approx(verdicts[0], abs=1e-3)


def test_what_is_ambiguous_is_refused(api: httpx.Client, task: str, strangers: list[bytes]) -> None:
    path = f"/v1/tasks/{task}/examples"

    def refused(**body: Any) -> str:
        response = api.post(path, **body)
        assert 400 <= response.status_code < 500, response.text
        return str(response.json()["code"])

    image = base64_of(strangers[0])
    assert refused(json={"examples": [{"image": image}]}) == "invalid_request", "no label is no null"
    assert refused(json={"examples": [{"label": "", "image": image}]}) == "invalid_label"
    assert refused(**multipart([("", strangers[0])])) == "invalid_label"
    assert refused(files=[("images", ("1.png", strangers[0]))]) == "invalid_request", "fewer labels than images"
    assert refused(data={"negatives": "1"}, files=[("negatives", ("1.png", strangers[0]))]) == "invalid_request"
    assert refused(**as_archive([("1.png", strangers[0])])) == "invalid_archive"
    response = api.post("/v1/tasks", **negatives(strangers))
    assert response.json()["code"] == "too_few_classes"
    broken = api.post(path, **negatives([strangers[0], b"no image"])).json()
    assert [each["position"] for each in broken["images"]] == [1]
    assert listed(api, task, negatives=True) == []


def test_they_are_listed_shown_relabelled_and_removed(
    api: httpx.Client, task: str, three: Labelled, strangers: list[bytes]
) -> None:
    add(api, task, strangers[:3])
    found = listed(api, task)
    assert [each["label"] for each in found] == [*(label for label, _ in three), None, None, None]
    assert listed(api, task, negatives=True) == found[15:]
    assert listed(api, task, negatives=False) == found[:15]
    page = api.get(f"/v1/tasks/{task}/examples", params={"negatives": True, "limit": 2}).json()
    rest = listed(api, task, negatives=True, cursor=page["next_cursor"], limit=2)
    assert [*page["examples"], *rest] == found[15:]
    first = found[15]
    assert (first["file_name"], first["image_kept"]) == ("0.png", True)
    assert api.get(f"/v1/tasks/{task}/examples/{first['id']}/image").content == strangers[0]

    taught = api.patch(f"/v1/tasks/{task}/examples/{first['id']}", json={"label": "new"}).json()
    assert taught["negatives"] == 2
    assert {"label": "new", "examples": 1} in taught["classes"]
    assert predict(api, task, strangers[:1])[0]["label"] == "new"
    copy = next(each["id"] for each in listed(api, task) if each["label"] == "new")
    back = api.patch(f"/v1/tasks/{task}/examples/{copy}", json={"label": None}).json()
    assert (back["negatives"], len(back["classes"])) == (3, 3)
    again = next(each["id"] for each in listed(api, task, negatives=True) if each["id"].startswith(first["id"]))
    same = api.patch(f"/v1/tasks/{task}/examples/{again}", json={"label": None}).json()
    assert same["version"] == back["version"], "it has none already"
    assert api.patch(f"/v1/tasks/{task}/examples/{again}", json={}).json()["code"] == "invalid_request"
    gone = api.delete(f"/v1/tasks/{task}/examples/{again}").json()
    assert gone["negatives"] == 2
    only = create(api, [three[0], three[-1]])["id"]
    refused = api.patch(f"/v1/tasks/{only}/examples/{listed(api, only)[0]['id']}", json={"label": None})
    assert refused.json()["code"] == "too_few_classes"


def test_a_retry_is_told_from_another_request(api: httpx.Client, task: str, strangers: list[bytes]) -> None:
    key = {"Idempotency-Key": f"negatives {task}"}
    first = api.post(f"/v1/tasks/{task}/examples", **negatives(strangers[:1]), headers=key).json()
    body = {"examples": [{"label": None, "image": base64_of(strangers[0])}]}
    again = api.post(f"/v1/tasks/{task}/examples", json=body, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert {**again.json(), "timing_ms": None} == {**first, "timing_ms": None}
    other = api.post(f"/v1/tasks/{task}/examples", **multipart([("new", strangers[0])]), headers=key)
    assert other.json()["code"] == "idempotency_key_reused"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for version in ("1", "2"):
        small_bundle(shipped_bundle, folder, "small", version, int8=True)
    return folder


@pytest.fixture
def flags(folder: Path) -> tuple[str, ...]:
    return "--engine", FAST_ENGINE, "--bundles-dir", str(folder), "--bundle", SMALL


def test_they_are_refreshed_forgotten_and_outlive_a_restart(tmp_path: Path, flags: tuple[str, ...]) -> None:
    data = tmp_path / "data"
    labelled = [("cat" if number % 2 else "dog", encode(noise(32, 32, seed=number))) for number in range(6)]
    strange = [encode(noise(32, 32, seed=100 + number)) for number in range(3)]
    with ServerProcess(data, *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        task = str(create(api, labelled)["id"])
        add(api, task, strange)
        refresh = api.post("/v1/refreshes", json={"to": "small@2", "tasks": [task], "max_drop": 1.0}).json()
        deadline = time.monotonic() + 60
        while (state := api.get(f"/v1/refreshes/{refresh['id']}").json())["state"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert (state["tasks"], state["images"]) == ({"moved": 1}, {"done": 9, "total": 9})
        assert api.get(f"/v1/tasks/{task}").json()["negatives"] == 3
        before = predict(api, task, [*strange, labelled[0][1]])
        assert server.stop() == 0, server.log()
    with ServerProcess(data, *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        assert predict(api, task, [*strange, labelled[0][1]]) == before
        first = listed(api, task, negatives=True)[0]["id"]
        response = api.delete(f"/v1/tasks/{task}/examples/{first}", params={"forget": True})
        assert response.status_code == 200, response.text
        assert response.json()["negatives"] == 2
        assert found_in(data, strange[:1]) == 0
        assert found_in(data, strange[1:]) == 2
        assert [each["version"] for each in api.get(f"/v1/tasks/{task}/versions").json()["versions"]] == [4, 1]
        api.delete(f"/v1/tasks/{task}").raise_for_status()
        assert found_in(data, strange) == 0
        assert server.stop() == 0, server.log()


def test_without_images_they_are_kept_as_embeddings_and_count_towards_the_limit(tmp_path: Path, flags: tuple[str, ...]) -> None:
    data = tmp_path / "data"
    labelled = [("cat" if number % 2 else "dog", encode(noise(32, 32, seed=number))) for number in range(4)]
    strange = [encode(noise(32, 32, seed=100 + number)) for number in range(3)]
    with (
        ServerProcess(data, *flags, "--keep-images=false", "--max-examples", "6") as server,
        httpx.Client(base_url=server.url, timeout=60) as api,
    ):
        task = str(create(api, labelled)["id"])
        add(api, task, strange[:2])
        assert found_in(data, strange) == 0
        assert [each["image_kept"] for each in listed(api, task, negatives=True)] == [False, False]
        assert predict(api, task, strange[:1])[0]["novelty"] > 0.0
        refused = api.post(f"/v1/tasks/{task}/examples", **negatives(strange[2:]))
        assert refused.json()["code"] == "limit_exceeded"
        assert server.stop() == 0, server.log()


def test_the_sdk_gives_lists_and_moves_them(client: Client, three: Labelled, strangers: list[bytes]) -> None:
    task = client.create_task(None, [(None, strangers[0]), *three])
    assert (task.negatives, task.examples) == (1, 15)
    names = sorted({label for label, _ in three})
    images: dict[str | None, list[bytes]] = {name: [image for label, image in three if label == name] for name in names}
    assert client.create_task(None, images | {None: strangers[:2]}).negatives == 2
    assert client.add_examples(task.id, [(None, strangers[1])]).negatives == 2
    found = list(client.examples(task.id, negatives=True))
    assert [each.label for each in found] == [None, None]
    assert len(list(client.examples(task.id, negatives=False))) == 15
    assert client.relabel_example(task.id, found[0].id, names[0]).negatives == 1
    moved = next(each for each in client.examples(task.id) if each.id.startswith(found[0].id))
    assert client.relabel_example(task.id, moved.id, None).negatives == 2
    assert [version.negatives for version in client.versions(task.id)] == [2, 1, 2, 1]
