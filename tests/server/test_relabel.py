"""Relabelling, over real HTTP: one new version, the same image, and forgetting that finds it under every label it had."""

from pathlib import Path

import httpx
import pytest

from headstart import Client
from tests.helpers.leftovers import found_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess


@pytest.fixture
def path(api: httpx.Client, support: Labelled) -> str:
    """A task, its first five examples of `fish`, with file names."""
    files = [("images", (f"{number}.png", image)) for number, (_, image) in enumerate(support)]
    response = api.post("/v1/tasks", files=files, data={"labels": [label for label, _ in support]})
    assert response.status_code == 201, response.text
    return f"/v1/tasks/{response.json()['id']}"


def examples(api: httpx.Client, path: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = api.get(f"{path}/examples").json()["examples"]
    return found


def test_an_example_is_put_into_another_class_in_one_version(api: httpx.Client, path: str) -> None:
    first, *others = examples(api, path)
    image = api.get(f"{path}/examples/{first['id']}/image").content
    response = api.patch(f"{path}/examples/{first['id']}", json={"label": " tower "})
    assert response.status_code == 200, response.text
    task = response.json()
    assert task["version"] == 2
    assert {each["label"]: each["examples"] for each in task["classes"]} == {
        "fish": 4,
        "palace": 5,
        "tool": 5,
        "tower": 6,
        "windmill": 5,
    }
    assert task["quality"]["judged"] == 25
    copy, *stayed = examples(api, path)
    assert stayed == others, "in its place, the others untouched"
    assert str(copy["id"]).startswith(f"{first['id']}-")
    told = ("media_type", "bytes", "sha256", "file_name", "image_kept")
    assert {name: copy[name] for name in told} == {name: first[name] for name in told}
    assert copy["label"] == "tower"
    assert api.get(f"{path}/examples/{copy['id']}/image").content == image
    assert [each["change"] for each in api.get(f"{path}/versions").json()["versions"]] == ["relabelled", "created"]

    assert api.patch(path, json={"active_version": 1}).status_code == 200
    assert examples(api, path) == [first, *others]


def test_a_page_that_follows_one_with_a_relabelled_example_repeats_nothing(api: httpx.Client, path: str) -> None:
    whole = [each["sha256"] for each in examples(api, path)]
    page = api.get(f"{path}/examples", params={"limit": 2}).json()
    api.patch(f"{path}/examples/{page['examples'][1]['id']}", json={"label": "another"}).raise_for_status()
    rest = api.get(f"{path}/examples", params={"cursor": page["next_cursor"]}).json()["examples"]
    assert [each["sha256"] for each in (*page["examples"], *rest)] == whole


def test_doing_it_again_changes_nothing(api: httpx.Client, path: str) -> None:
    first = examples(api, path)[0]
    for label, version in (("fish", 1), ("tower", 2), ("tower", 2)):
        response = api.patch(f"{path}/examples/{first['id']}", json={"label": label})
        assert (response.status_code, response.json()["version"]) == (200, version)
    gone = api.patch(f"{path}/examples/{first['id']}", json={"label": "palace"})
    assert (gone.status_code, gone.json()["code"]) == (404, "example_not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"label": "  "}, 422, "invalid_label"),
        ({"label": "x\n"}, 200, ""),
        ({"label": "x\ny"}, 422, "invalid_label"),
        ({"label": "x", "more": 1}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
    ],
)
def test_labels_are_held_to_their_rules(body: object, status: int, code: str, api: httpx.Client, path: str) -> None:
    first = examples(api, path)[0]["id"]
    response = api.patch(f"{path}/examples/{first}", json=body)
    assert (response.status_code, response.json().get("code", "")) == (status, code)
    missing = api.patch(f"{path}/examples/example_0", json={"label": "x"})
    assert (missing.status_code, missing.json()["code"]) == (404, "example_not_found")


def test_a_class_goes_with_its_last_example_but_two_have_to_be_left(api: httpx.Client, support: Labelled) -> None:
    files = [("images", image) for _, image in (support[0], support[1], support[5])]
    path = f"/v1/tasks/{api.post('/v1/tasks', files=files, data={'labels': ['a', 'a', 'b']}).json()['id']}"
    *_, last = examples(api, path)
    refused = api.patch(f"{path}/examples/{last['id']}", json={"label": "a"})
    assert (refused.status_code, refused.json()["code"]) == (422, "too_few_classes")
    assert "delete the task" not in refused.json()["detail"]
    moved = api.patch(f"{path}/examples/{last['id']}", json={"label": "c"}).json()
    assert [each["label"] for each in moved["classes"]] == ["a", "c"]


def test_the_head_is_that_of_a_fresh_task_with_the_right_labels(api: httpx.Client, path: str, support: Labelled) -> None:
    """The order of examples differs, so the fits may in the last digits."""
    first = examples(api, path)[0]["id"]
    api.patch(f"{path}/examples/{first}", json={"label": "tower"})
    right = [*support[1:], ("tower", support[0][1])]
    fresh = api.post("/v1/tasks", files=[("images", image) for _, image in right], data={"labels": [label for label, _ in right]})
    files = [("images", image) for _, image in support]
    answers = [
        api.post(f"{task}/predict", files=files, params={"unknown": "ignore"}).json()["predictions"]
        for task in (path, f"/v1/tasks/{fresh.json()['id']}")
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("by", ["the old id", "the new id"])
def test_forgetting_finds_the_image_under_every_label(
    by: str, tmp_path: Path, small_flags: tuple[str, ...], support: Labelled
) -> None:
    with ServerProcess(tmp_path / "data", *small_flags) as server, Client(server.url) as client:
        task = client.create_task("t", support)
        first = next(client.examples(task.id)).id
        image = client.example_image(task.id, first)
        client.relabel_example(task.id, first, "tower")
        twice = client.relabel_example(task.id, next(client.examples(task.id)).id, "palace")
        assert (twice.version, twice.examples) == (3, 25)
        now = next(client.examples(task.id)).id
        assert found_in(tmp_path / "data", [image])
        left = client.forget_example(task.id, first if by == "the old id" else now)
        assert left.examples == 24
        assert [version.version for version in client.versions(task.id)] == [4]
        assert not found_in(tmp_path / "data", [image])
        assert server.stop() == 0
