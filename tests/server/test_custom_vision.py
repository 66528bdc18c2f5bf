"""Azure Custom Vision's own client, and other senders to its paths, get the answers of `…/predict`."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from azure.cognitiveservices.vision.customvision.prediction import CustomVisionPredictionClient
from azure.cognitiveservices.vision.customvision.prediction.models import CustomVisionErrorException
from msrest.authentication import ApiKeyCredentials

from server.app import ROUTES
from server.http.audited import audited_of
from server.http.dialects import CUSTOM_VISION
from server.ids import uuid_of
from tests.helpers.keyed import Keyed, keyed_server
from tests.helpers.markdown import python_of
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.uploads import create
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, support: Labelled, small_flags: tuple[str, ...]) -> Iterator[Keyed]:
    with keyed_server(tmp_path_factory.mktemp("azure"), support, *small_flags) as server:
        yield server


def client_of(keyed: Keyed, key: str) -> CustomVisionPredictionClient:
    """The client as Custom Vision's documentation makes it."""
    return CustomVisionPredictionClient(keyed.url, ApiKeyCredentials(in_headers={"Prediction-key": key}))


@pytest.fixture(scope="module")
def client(keyed: Keyed) -> CustomVisionPredictionClient:
    return client_of(keyed, keyed.key)


def address(task: str, iteration: str = "any", what: str = "image", root: str = "/customvision/v3.0/Prediction") -> str:
    return f"{root}/{task}/classify/iterations/{iteration}/{what}"


def scores_of(keyed: Keyed, image: bytes, task: str | None = None) -> list[tuple[str, float]]:
    """What the native call answers."""
    answer = keyed.api.post(f"/v1/tasks/{task or keyed.task}/predict", content=image)
    return [*answer.json()["predictions"][0]["scores"].items()]


def tags_of(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(each["tagName"], each["probability"]) for each in answer["predictions"]]


class TestItsClient:
    def test_gets_what_the_native_call_answers(
        self, keyed: Keyed, client: CustomVisionPredictionClient, queries: Labelled, tmp_path: Path
    ) -> None:
        for number, (_, image) in enumerate(queries[::10]):
            file = tmp_path / f"{number}.png"
            file.write_bytes(image)
            with file.open("rb") as opened:
                for data in (image, io.BytesIO(image), opened):
                    answer = client.classify_image(keyed.task, "Iteration1", data)
                    found = [(each.tag_name, each.probability) for each in answer.predictions]
                    assert found == scores_of(keyed, image)
            assert abs(datetime.now(UTC) - answer.created) < timedelta(minutes=1)
            assert answer.project == str(uuid_of(keyed.task))

    def test_is_taken_with_all_that_it_may_say(
        self, keyed: Keyed, client: CustomVisionPredictionClient, queries: Labelled
    ) -> None:
        answer = client.classify_image_with_no_store(str(uuid_of(keyed.task)), "1", queries[0][1], application="till 7")
        assert len(answer.predictions) == 5
        assert len({each.tag_id for each in answer.predictions}) == 5

    def test_is_told_what_is_wrong(self, keyed: Keyed, client: CustomVisionPredictionClient, queries: Labelled) -> None:
        image = queries[0][1]
        for asking, task, data, code, said in (
            (client, keyed.task, b"no image", "image_unsupported", "is not a JPEG"),
            (client, "task_none", image, "task_not_found", "there is no task 'task_none'"),
            (client_of(keyed, keyed.foreign), keyed.task, image, "task_not_found", "there is no task"),
            (client_of(keyed, "wrong"), keyed.task, image, "unauthenticated", "this key is mistyped"),
        ):
            with pytest.raises(CustomVisionErrorException, match=said) as raised:
                asking.classify_image(task, "1", data)
            assert raised.value.error.code == code

    def test_is_told_that_no_url_is_fetched(self, keyed: Keyed, client: CustomVisionPredictionClient) -> None:
        for call in (client.classify_image_url, client.classify_image_url_with_no_store):
            with pytest.raises(CustomVisionErrorException, match="never fetches a URL: send the image itself"):
                call(keyed.task, "1", "http://127.0.0.1/cat.jpg")

    def test_works_as_its_page_shows(
        self,
        keyed: Keyed,
        queries: Labelled,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "unseen.jpg").write_bytes(queries[0][1])
        monkeypatch.chdir(tmp_path)
        exec(python_of("docs/integrations/custom-vision.md"), {"url": keyed.url, "task": keyed.task, "key": keyed.key})
        expected = scores_of(keyed, queries[0][1])
        assert capsys.readouterr().out.splitlines() == [f"{label} {score:.0%}" for label, score in expected]


class TestPaths:
    @pytest.mark.parametrize(
        "root", [f"/customvision/{api}/{name}" for api in ("v3.0", "v3.1") for name in ("Prediction", "prediction")]
    )
    def test_of_each_version_are_the_same(self, keyed: Keyed, root: str, queries: Labelled) -> None:
        for project in (keyed.task, str(uuid_of(keyed.task)), str(uuid_of(keyed.task)).upper()):
            answered = keyed.api.post(address(project, root=root), content=queries[0][1])
            assert answered.status_code == 200
            assert tags_of(answered.json()) == scores_of(keyed, queries[0][1])

    def test_that_are_none_are_not_found(self, keyed: Keyed) -> None:
        for path in (
            address(keyed.task, root="/customvision/v2.0/Prediction"),
            address(keyed.task, what="images"),
            "/customvision/v3.0/Prediction/x",
        ):
            refused = keyed.api.post(path, content=b"x")
            assert_problem(refused, 404, "not_found")
            assert refused.json()["message"] == refused.json()["detail"]
        assert_problem(keyed.api.get(address(keyed.task)), 405, "method_not_allowed")

    def test_behind_a_proxy_that_adds_a_prefix(self, tmp_path: Path, support: Labelled, small_flags: tuple[str, ...]) -> None:
        with keyed_server(tmp_path, support, *small_flags, "--root-path", "/few/shots") as server:
            for prefix in ("/few/shots", ""):
                answered = server.api.post(prefix + address(server.task), content=support[0][1])
                assert answered.status_code == 200, answered.text


class TestKeys:
    def test_come_in_either_header_and_once(self, keyed: Keyed, queries: Labelled) -> None:
        with httpx.Client(base_url=keyed.url) as stranger:
            path, image = address(keyed.task), queries[0][1]
            for headers, status in (
                ({}, 401),
                ({"Prediction-Key": keyed.key}, 200),
                ({"Prediction-Key": f"Bearer {keyed.key}"}, 401),
                ({"Prediction-Key": keyed.key, "Authorization": f"Bearer {keyed.key}"}, 401),
            ):
                assert stranger.post(path, content=image, headers=headers).status_code == status, headers
            elsewhere = stranger.post(f"/v1/tasks/{keyed.task}/predict", content=image, headers={"Prediction-Key": keyed.key})
            assert_problem(elsewhere, 401, "unauthenticated")

    def test_of_another_task_find_none(self, keyed: Keyed, support: Labelled) -> None:
        other = create(keyed.api, support)["id"]
        key = keyed.api.post("/v1/keys", json={"scope": "predict", "task": other}).json()["token"]
        for project, status in ((other, 200), (uuid_of(other), 200), (keyed.task, 404), (uuid_of(keyed.task), 404)):
            headers = {"Prediction-Key": key}
            answered = httpx.post(keyed.url + address(str(project)), content=support[0][1], headers=headers)
            assert answered.status_code == status, answered.text

    def test_are_told_to_the_audit_with_the_task(self) -> None:
        told = {(audited_of(route).action, audited_of(route).object) for route in ROUTES if route.path.startswith(CUSTOM_VISION)}
        assert told == {("task.predict", "tasks/{task}")}


class TestAnswers:
    def test_are_written_as_it_writes_them(self, keyed: Keyed, queries: Labelled) -> None:
        answer = keyed.api.post(address(keyed.task), content=queries[0][1]).json()
        assert answer.keys() == {"id", "project", "iteration", "created", "predictions"}
        for each in answer["predictions"]:
            assert each.keys() == {"probability", "tagId", "tagName"}
        for id_ in (answer["id"], answer["project"], answer["iteration"], *(each["tagId"] for each in answer["predictions"])):
            assert str(UUID(id_)) == id_
        assert datetime.fromisoformat(answer["created"]).tzinfo is not None

    def test_name_tags_alike_in_all_versions(self, keyed: Keyed, support: Labelled, queries: Labelled) -> None:
        task = create(keyed.api, support)["id"]

        def asked() -> dict[str, Any]:
            answer: dict[str, Any] = keyed.api.post(address(task), content=queries[0][1]).raise_for_status().json()
            return answer

        before = asked()
        example = keyed.api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
        keyed.api.delete(f"/v1/tasks/{task}/examples/{example}").raise_for_status()
        after = asked()
        ids = [{each["tagName"]: each["tagId"] for each in answer["predictions"]} for answer in (before, after)]
        assert ids[0] == ids[1]
        assert before["project"] == after["project"]
        assert before["iteration"] != after["iteration"]
        assert before["id"] != after["id"]
        other = keyed.api.post(address(keyed.task), content=queries[0][1]).json()
        assert not set(ids[0].values()) & {each["tagId"] for each in other["predictions"]}

    def test_of_a_version_that_is_not_active_are_refused(self, keyed: Keyed, support: Labelled) -> None:
        task = create(keyed.api, support)["id"]
        assert keyed.api.post(address(task, "1"), content=support[0][1]).status_code == 200
        for iteration in ("2", "0", "01", "9" * 5000):
            assert_problem(keyed.api.post(address(task, iteration), content=support[0][1]), 404, "version_not_found")
        refused = keyed.api.post(address(task, "2"), content=support[0][1]).json()
        assert refused["message"] == "this task has no version 2 that answers; version 1 does"

    def test_of_several_labels_are_all_of_them(self, keyed: Keyed, support: Labelled) -> None:
        listed = [(f'["{label}"]', image) for label, image in support[:15]]
        task = create(keyed.api, listed, label_mode="multiple")["id"]
        answer = keyed.api.post(address(task), content=support[0][1]).json()
        assert tags_of(answer) == scores_of(keyed, support[0][1], task)


def test_a_task_captures_unless_it_is_told_not_to_store(keyed: Keyed, support: Labelled, queries: Labelled) -> None:
    task = create(keyed.api, support, capture='{"keep": "all"}')["id"]
    keyed.api.post(address(task, what="image/nostore"), content=queries[0][1]).raise_for_status()
    keyed.api.post(address(task), content=queries[1][1]).raise_for_status()
    wait_until(lambda: keyed.api.get(f"/v1/tasks/{task}/captures").json()["total"] > 0)
    (capture,) = keyed.api.get(f"/v1/tasks/{task}/captures").json()["captures"]
    kept = keyed.api.get(f"/v1/tasks/{task}/captures/{capture['id']}/image")
    assert kept.content == queries[1][1]


class TestForms:
    def test_hold_one_image(self, keyed: Keyed, queries: Labelled) -> None:
        image = queries[0][1]
        path = address(keyed.task)
        assert keyed.api.post(path, files={"imageData": image}).status_code == 200
        assert keyed.api.post(path, files=[("imageData", image)] * 2).json()["code"] == "limit_exceeded"
        for wrong in ({"images": image}, {"other": image}):
            assert_problem(keyed.api.post(path, files=wrong), 422, "invalid_request")
        empty = '--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nutf-8\r\n--b--\r\n'
        refused = keyed.api.post(path, content=empty, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert_problem(refused, 422, "invalid_request")

    def test_of_other_calls_still_need_a_name(self, keyed: Keyed, queries: Labelled) -> None:
        form = httpx.Request("POST", "http://x", files={"images": (None, queries[0][1])})
        headers = {"Content-Type": form.headers["content-type"]}
        refused = keyed.api.post(f"/v1/tasks/{keyed.task}/predict", content=form.read(), headers=headers)
        assert_problem(refused, 422, "invalid_request")
