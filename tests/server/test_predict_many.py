"""One image, many tasks, over real HTTP: every task answers as it does when it is asked alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.errors import LimitExceeded, Overloaded
from server.schemas.predictions import PredictManyReply
from server.service import Service
from server.settings import Settings
from tests.helpers import uploads
from tests.helpers.bundles import SMALL, small_bundle
from tests.helpers.databases import database_url
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import base64_of, create

BROKEN = b"this is no image"
PNG = {"Content-Type": "image/png"}
# Heads that cannot all be gathered into one product.
OPTIONS = ("{}", '{"centre": true}', '{"solver": "ridge", "temperature": 2.0}', '{"solver": "prototype", "centre": true}')


@pytest.fixture(scope="module")
def tasks(server: ServerProcess, support: Labelled) -> list[str]:
    """Tasks of two to five classes, fitted in different ways."""
    sets = [support[: 5 * ways : 2] for ways in (5, 2, 3, 5)]
    with httpx.Client(base_url=server.url, timeout=60) as api:
        return [create(api, examples, options=options)["id"] for examples in sets for options in OPTIONS]


def ask(api: httpx.Client, tasks: Sequence[str] | str, images: Sequence[bytes], **params: int) -> dict[str, Any]:
    named = {"tasks": [tasks] if isinstance(tasks, str) else list(tasks)}
    response = api.post("/v1/predict", params=params, data=named, **uploads.queries(images))
    assert response.status_code == 200, response.text
    PredictManyReply.model_validate_json(response.content, strict=True)
    reply: dict[str, Any] = response.json()
    assert set(reply["timing_ms"]) >= {"head", "total"}
    return reply


def alone(api: httpx.Client, task: str, images: Sequence[bytes], top_k: int) -> list[dict[str, Any]]:
    response = api.post(f"/v1/tasks/{task}/predict", params={"top_k": top_k}, **uploads.queries(images))
    answers: list[dict[str, Any]] = response.raise_for_status().json()["predictions"]
    return answers


def assert_equal(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> None:
    """To the rounding of float32 and of images that met others in their batch."""
    for left, right in zip(one, other, strict=True):
        if "error" in right:
            assert left == right
        else:
            assert left["label"] == right["label"]
            assert left["scores"] == pytest.approx(right["scores"], abs=1e-5)
            assert next(iter(left["scores"].items())) == (left["label"], left["probability"])


@pytest.mark.parametrize("top_k", [1, 3, 9])
def test_every_task_answers_as_it_does_alone_and_in_the_order_asked(
    api: httpx.Client, tasks: list[str], queries: Labelled, top_k: int
) -> None:
    images = [image for _, image in queries[::10]]
    images[2] = BROKEN
    asked = [*tasks[::-1], tasks[3]]
    results = ask(api, asked, images, top_k=top_k)["results"]
    assert [result["task"] for result in results] == asked
    for result in results:
        assert result["version"] == 1
        assert_equal(result["predictions"], alone(api, result["task"], images, top_k))


def test_the_most_probable_label_alone_is_scored_unless_more_are_asked_for(
    api: httpx.Client, tasks: list[str], queries: Labelled
) -> None:
    (result,) = ask(api, tasks[0], [queries[0][1]])["results"]
    (prediction,) = result["predictions"]
    assert prediction["scores"] == {prediction["label"]: prediction["probability"]}


def test_labels_of_any_characters(api: httpx.Client, support: Labelled, queries: Labelled) -> None:
    odd = ['"', "\\", '\\"},{"', "Löwe \U0001f981 <&>"]
    renamed = dict(zip(sorted({label for label, _ in support}), [*odd, "%s {label}"], strict=True))
    task = create(api, [(renamed[label], image) for label, image in support])["id"]
    (result,) = ask(api, task, [image for _, image in queries], top_k=5)["results"]
    assert {prediction["label"] for prediction in result["predictions"]} == set(renamed.values())
    assert_equal(result["predictions"], alone(api, task, [image for _, image in queries], 5))


def test_what_changes_between_requests_for_the_same_tasks(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled, queries: Labelled
) -> None:
    images = [queries[0][1], queries[20][1]]
    with ServerProcess(tmp_path / "data", *small_flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        made = [create(api, support[: 5 * ways : 2])["id"] for ways in (5, 2, 3, 5)]

        def check(left: Sequence[str], versions: Sequence[int]) -> None:
            """Asked again and again, the tasks and nothing else answer, each as it does alone."""
            for tasks in (left, "all", left, "all", left):
                results = ask(api, tasks, images, top_k=3)["results"]
                if tasks == "all":
                    results.reverse()
                assert [(result["task"], result["version"]) for result in results] == list(zip(left, versions, strict=True))
                for result in results:
                    assert_equal(result["predictions"], alone(api, result["task"], images, 3))

        check(made, [1, 1, 1, 1])
        api.post(f"/v1/tasks/{made[1]}/examples", **uploads.multipart([("new", images[0])])).raise_for_status()
        check(made, [1, 2, 1, 1])
        api.delete(f"/v1/tasks/{made[2]}").raise_for_status()
        assert_problem(api.post("/v1/predict", params={"tasks": made}, content=images[0], headers=PNG), 404, "task_not_found")
        del made[2]
        check(made, [1, 2, 1])
        (example, *_) = api.get(f"/v1/tasks/{made[0]}/examples").json()["examples"]
        api.delete(f"/v1/tasks/{made[0]}/examples/{example['id']}", params={"forget": True}).raise_for_status()
        made.append(create(api, support[:15])["id"])
        check(made, [2, 2, 1, 1])


def test_every_form_of_body_gets_the_same_answer(api: httpx.Client, tasks: list[str], queries: Labelled) -> None:
    image, two = queries[0][1], tasks[:2]
    text = ",".join(two)
    forms: list[dict[str, Any]] = [
        {"params": {"tasks": text}, "content": image, "headers": PNG},
        {"params": {"tasks": two}, "content": image, "headers": PNG},
        {"data": {"tasks": two}, **uploads.queries([image])},
        {"data": {"tasks": f" {two[0]} , {two[1]},"}, **uploads.queries([image])},
        {"params": {"tasks": text}, **uploads.queries([image])},
        {"json": {"images": [base64_of(image)], "tasks": two}},
        {"json": {"images": [base64_of(image)]}, "params": {"tasks": text}},
    ]
    replies = [api.post("/v1/predict", **form).raise_for_status().json()["results"] for form in forms]
    assert [result["task"] for result in replies[0]] == two
    assert all(reply == replies[0] for reply in replies)


def test_more_predictions_than_are_made_in_a_turn_keep_their_places(
    api: httpx.Client, tasks: list[str], queries: Labelled
) -> None:
    images = [image for _, image in queries] * 5
    labels = {task: [each["label"] for each in alone(api, task, images[:50], 1)] for task in tasks[:2]}
    results = ask(api, tasks[:2] * 8, images)["results"]
    assert [result["task"] for result in results] == tasks[:2] * 8
    for result in results:
        assert [each["label"] for each in result["predictions"]] == labels[result["task"]] * 5


def test_a_version_returned_to_answers(api: httpx.Client, support: Labelled) -> None:
    task = create(api, support[:10])["id"]
    api.post(f"/v1/tasks/{task}/examples", **uploads.multipart([("new", support[20][1])])).raise_for_status()
    versions = []
    for active in (1, 2):
        api.patch(f"/v1/tasks/{task}", json={"active_version": active}).raise_for_status()
        (result,) = ask(api, task, [support[20][1]], top_k=3)["results"]
        versions.append((result["version"], "new" in result["predictions"][0]["scores"]))
    assert versions == [(1, False), (2, True)]


class TestRefusals:
    def test_an_unknown_task_among_others_is_named_before_any_work(self, api: httpx.Client, tasks: list[str]) -> None:
        for named in ([tasks[0], "task_nothing", tasks[1]], ["task_nothing"]):
            response = api.post("/v1/predict", params={"tasks": named}, content=BROKEN, headers=PNG)
            assert_problem(response, 404, "task_not_found")
            assert "'task_nothing'" in response.json()["detail"]

    @pytest.mark.parametrize("name", ["x" * 5000, "\0", "ü", "'; drop table tasks; --", "task_0,ALL"])
    def test_odd_ids(self, api: httpx.Client, name: str) -> None:
        for body in ({"params": {"tasks": name}, "content": BROKEN, "headers": PNG}, {"json": {"images": [], "tasks": [name]}}):
            assert_problem(api.post("/v1/predict", **body), 404, "task_not_found")

    def test_the_only_image_is_refused(self, api: httpx.Client, tasks: list[str]) -> None:
        response = api.post("/v1/predict", params={"tasks": tasks[0]}, content=BROKEN, headers=PNG)
        assert_problem(response, 422, "image_unsupported")

    @pytest.mark.parametrize(
        "body",
        [
            {"content": BROKEN, "headers": PNG},
            {"params": {"tasks": ""}, "content": BROKEN, "headers": PNG},
            {"params": {"tasks": "all", "top_k": 0}, "content": BROKEN, "headers": PNG},
            {"params": {"tasks": "all"}, "json": {"images": [], "tasks": "all"}},
            {"params": {"tasks": "all"}, "json": {"images": []}},
            {"json": {"images": [], "tasks": []}},
            {"json": {"images": [], "tasks": "some"}},
            {"json": {"images": [], "tasks": [1]}},
            {"json": {"tasks": "all"}},
            {"json": {"images": ["no base64!"], "tasks": "all"}},
            {"files": [("images", BROKEN), ("tasks", b"all")]},
            {"files": [("images", BROKEN)], "data": {"tasks": "all", "labels": "x"}},
            {"files": [("images", BROKEN)], "data": {"tasks": " , "}},
        ],
        ids=str,
    )
    def test_requests_that_are_none_of_the_documented_forms(self, api: httpx.Client, body: dict[str, Any]) -> None:
        assert_problem(api.post("/v1/predict", **body), 422, "invalid_request")

    def test_content_types(self, api: httpx.Client) -> None:
        response = api.post("/v1/predict?tasks=all", content=BROKEN, headers={"Content-Type": "text/plain"})
        assert_problem(response, 415, "unsupported_media_type")

    def test_too_many_images_or_texts(self, api: httpx.Client, tasks: list[str]) -> None:
        one = {"data": {"tasks": tasks[0]}, **uploads.queries([BROKEN] * 257)}
        other = {"data": {"tasks": [tasks[0]] * 1001}, **uploads.queries([BROKEN])}
        for body, limit in ((one, "256"), (other, "1000")):
            response = api.post("/v1/predict", **body)
            assert_problem(response, 422, "limit_exceeded")
            assert response.json()["detail"].endswith(f"the limit is {limit}")


def test_what_a_reply_may_hold_is_limited(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled, queries: Labelled
) -> None:
    images = [image for _, image in queries[:3]]
    with (
        ServerProcess(tmp_path / "data", *small_flags, "--max-scores", "12") as server,
        httpx.Client(base_url=server.url, timeout=60) as api,
    ):
        pair, five = create(api, support[:10])["id"], create(api, support)["id"]
        assert ask(api, [pair, five], images, top_k=2)  # 3 images x (2 + 2)
        assert ask(api, [pair] * 2, images, top_k=1000)  # as many labels as there are
        response = api.post("/v1/predict?top_k=3", data={"tasks": [pair, five]}, **uploads.queries(images))
        assert_problem(response, 422, "limit_exceeded")
        assert "15; the limit is 12" in response.json()["detail"]


def test_what_many_requests_may_hold_at_once_is_limited(tmp_path: Path, small_bundles: Path) -> None:
    service = Service(
        Settings(data_dir=tmp_path, database_url=database_url(tmp_path), bundles_dir=small_bundles, bundle=SMALL, max_scores=10)
    )
    try:
        with service.scores.admit(6):
            with pytest.raises(Overloaded), service.scores.admit(5):
                pytest.fail("there was no room")
            with service.scores.admit(4):
                pass
        with service.scores.admit(10):
            pass
        with pytest.raises(LimitExceeded), service.scores.admit(11):
            pytest.fail("there will never be room")
    finally:
        service.close()


def test_all_tasks_on_every_bundle_one_that_this_server_lacks_included(
    tmp_path: Path, shipped_bundle: Path, small_flags: tuple[str, ...], support: Labelled, queries: Labelled
) -> None:
    folder = tmp_path / "bundles"
    assert [small_bundle(shipped_bundle, folder, name) for name in ("small", "other")] == [SMALL, "other@1"]
    images = [image for _, image in queries[:3]]
    made: list[str] = []

    def client(server: ServerProcess) -> httpx.Client:
        return httpx.Client(base_url=server.url, timeout=60)

    for bundle in ("other@1", SMALL, "other@1", SMALL):
        flags = ("--bundles-dir", str(folder), "--bundle", bundle)
        with ServerProcess(tmp_path / "data", *flags) as server, client(server) as api:
            if not made:
                assert ask(api, "all", images)["results"] == []
            made.append(create(api, support[:: len(made) + 1])["id"])
            if len(made) == 4:
                together = ask(api, "all", images, top_k=5)["results"]
                assert [result["task"] for result in together] == made[::-1]
                assert [result["backbone"] for result in together] == [SMALL, "other@1"] * 2
                for result in together:
                    assert_equal(result["predictions"], alone(api, result["task"], images, 5))

    with ServerProcess(tmp_path / "data", *small_flags) as server, client(server) as api:
        left = ask(api, "all", images, top_k=5)["results"]
        assert [result["task"] for result in left] == made[::-1]
        for result, before in zip(left, together, strict=True):
            if before["backbone"] == SMALL:
                assert_equal(result["predictions"], before["predictions"])
            else:
                assert result.keys() == {"task", "version", "backbone", "error"}
                assert result["error"]["code"] == "backbone_unavailable"
                assert "other@1" in result["error"]["detail"]
        only = api.post("/v1/predict", params={"tasks": made[0]}, content=images[0], headers=PNG)
        assert_problem(only, 503, "backbone_unavailable")
        assert "retry-after" not in only.headers, "waiting does not bring it back"

        api.delete(f"/v1/tasks/{made[3]}").raise_for_status()
        assert [result["task"] for result in ask(api, "all", images)["results"]] == made[2::-1]
