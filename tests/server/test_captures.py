"""Captured predictions over real HTTP: kept, bounded, reviewed, decided about, and gone from every file afterwards."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from server.store.tables import captures as captures_table
from tests.helpers.databases import nobody_writes, statements_in
from tests.helpers.images import encode, noise
from tests.helpers.leftovers import found_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import as_json, create, multipart, predict, queries
from tests.server.test_metrics import scrape


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures") / "data"


@pytest.fixture(scope="module")
def server(data_dir: Path, small_flags: tuple[str, ...]) -> Iterator[ServerProcess]:
    with ServerProcess(data_dir, *small_flags) as process:
        yield process
        assert process.stop() == 0, process.log()


def images(count: int, seed: int) -> list[bytes]:
    """Images that share no piece of their files, each of 16 squares of other colours than those of the others."""
    found = []
    for number in range(count):
        colours, grain = noise(4, 4, seed=10_000 * seed + number), noise(32, 32, seed=10_000 * seed + number)
        found.append(encode(np.kron(colours, np.ones((8, 8, 1), np.uint8)) // 2 + grain // 16))
    return found


def task_of(api: httpx.Client, seed: int, **capture: Any) -> str:
    """A task of two classes of two images each."""
    examples = list(zip(("cat", "dog") * 2, images(4, seed), strict=True))
    body = as_json(examples, **({"capture": capture} if capture else {}))
    response = api.post("/v1/tasks", **body)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def remember(api: httpx.Client, task: str, sent: list[bytes], **params: str) -> list[str]:
    """The ids of remembered predictions."""
    response = api.post(f"/v1/tasks/{task}/predict", params={"remember": "true", **params}, **queries(sent))
    assert response.status_code == 200, response.text
    return [each["prediction"] for each in response.json()["predictions"]]


def queue(api: httpx.Client, task: str, **params: str | int) -> dict[str, Any]:
    response = api.get(f"/v1/tasks/{task}/captures", params={"limit": 100, **params})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def ids_in(page: dict[str, Any]) -> list[str]:
    return [id_ for entry in page["captures"] for id_ in (entry["id"], *entry["alike"])]


def until_total(api: httpx.Client, task: str, total: int) -> dict[str, Any]:
    """The queue once the background has stored so many captures."""
    for _ in range(200):
        if (page := queue(api, task, order="newest"))["total"] == total:
            return page
        time.sleep(0.05)
    raise AssertionError(f"{page['total']} captures, not {total}")


def resolve(api: httpx.Client, task: str, *decisions: dict[str, Any], **headers: str) -> httpx.Response:
    return api.post(f"/v1/tasks/{task}/captures/resolve", json={"decisions": list(decisions)}, headers=headers)


def embeddings_in(data_dir: Path, task: str) -> list[bytes]:
    """The stored embeddings of a task's captures."""
    with statements_in(data_dir) as connection:
        contents = connection.scalars(select(captures_table.c.content).where(captures_table.c.task == task)).all()
    return [content[4 : 4 + 4 * int.from_bytes(content[:4], "little")] for content in contents]


def dropped(api: httpx.Client) -> dict[str, float]:
    """Captures dropped so far, by reason."""
    return {labels[0][1]: value for (name, labels), value in scrape(api).items() if name == "headstart_captures_dropped_total"}


class TestSetting:
    def test_it_is_off_until_it_is_set_and_shown_in_the_task(self, api: httpx.Client) -> None:
        task = task_of(api, 1)
        assert api.get(f"/v1/tasks/{task}").json()["capture"] == {"keep": "none", "limit": 1000, "days": 30, "notify": None}
        changed = api.patch(f"/v1/tasks/{task}", json={"capture": {"keep": "all", "limit": 7}}).json()
        assert changed["capture"] == {"keep": "all", "limit": 7, "days": 30, "notify": None}
        assert api.patch(f"/v1/tasks/{task}", json={"capture": {"days": 2}}).json()["capture"]["limit"] == 7
        api.post(f"/v1/tasks/{task}/examples", **multipart([("cat", images(1, 2)[0])]))
        assert api.get(f"/v1/tasks/{task}").json()["capture"] == {"keep": "all", "limit": 7, "days": 2, "notify": None}

    def test_it_can_be_set_at_creation_in_json_and_in_a_form(self, api: httpx.Client) -> None:
        assert api.get(f"/v1/tasks/{task_of(api, 3, keep='all')}").json()["capture"]["keep"] == "all"
        given = list(zip(("cat", "dog"), images(2, 4), strict=True))
        assert create(api, given, capture='{"keep": "uncertain"}')["capture"]["keep"] == "uncertain"

    @pytest.mark.parametrize("wrong", [{"keep": "some"}, {"limit": 0}, {"limit": 10_001}, {"days": 0}, {"images": 3}, {}])
    def test_what_is_no_setting_is_refused(self, api: httpx.Client, wrong: dict[str, Any]) -> None:
        task = task_of(api, 5)
        refused = api.patch(f"/v1/tasks/{task}", json={"capture": wrong})
        assert refused.status_code == 422
        assert refused.json()["code"] == "invalid_request"


class TestCapturing:
    def test_every_prediction_is_captured_with_its_answer_where_all_are_kept(self, api: httpx.Client) -> None:
        task, sent = task_of(api, 6, keep="all"), images(3, 7)
        answers = predict(api, task, [sent[0], b"no image", *sent[1:]])
        page = until_total(api, task, 3)
        told = {entry["id"]: entry for entry in page["captures"]}
        assert len(ids_in(page)) == 3
        by_image = {api.get(f"/v1/tasks/{task}/captures/{id_}/image").content: id_ for id_ in ids_in(page)}
        assert set(by_image) == set(sent)
        for image, answer in zip(sent, [answers[0], *answers[2:]], strict=True):
            if entry := told.get(by_image[image]):
                same = {name: answer[name] for name in ("label", "probability", "known", "novelty")}
                assert {**same, "version": 1, "labels": None} == {
                    **entry["answered"],
                    "probability": pytest.approx(answer["probability"]),
                }
                assert entry["nearest"][0]["example"] == answer["nearest"][0]["example"]

    def test_none_is_captured_where_none_are_kept(self, api: httpx.Client) -> None:
        task = task_of(api, 8)
        predict(api, task, images(2, 9))
        other = task_of(api, 10, keep="all")
        predict(api, other, images(1, 9))
        until_total(api, other, 1)  # what came before it has been stored too, if it was to be
        assert queue(api, task)["total"] == 0

    def test_none_of_a_request_that_asks_for_it_is_captured(self, api: httpx.Client) -> None:
        task, sent = task_of(api, 60, keep="all"), images(4, 61)
        for only in sent[:3]:
            response = api.post(f"/v1/tasks/{task}/predict", params={"remember": "false"}, **queries([only]))
            assert response.status_code == 200
            assert "prediction" not in response.json()["predictions"][0]
        predict(api, task, sent[3:])  # stored after the others, if those were
        page = until_total(api, task, 1)
        assert api.get(page["captures"][0]["image"]).content == sent[3]

    def test_many_tasks_asked_together_capture_what_each_is_set_to(self, api: httpx.Client) -> None:
        tasks = [task_of(api, 11, keep="all"), task_of(api, 12), task_of(api, 13, keep="all")]
        for unknown in ("ignore", "judge"):
            params = {"tasks": ",".join(tasks), "unknown": unknown}
            assert api.post("/v1/predict", params=params, **queries(images(2, 14))).status_code == 200
        for task, total in zip(tasks, (4, 0, 4), strict=True):
            page = until_total(api, task, total)
            answered = [entry["answered"]["novelty"] for entry in page["captures"]]
            assert all(novelty is None or 0 <= novelty <= 1 for novelty in answered)

    def test_the_oldest_leave_first_and_leave_every_file(self, api: httpx.Client, data_dir: Path) -> None:
        task, sent = task_of(api, 15, keep="all", limit=3), images(9, 16)
        for image in sent[:4]:
            predict(api, task, [image])
        until_total(api, task, 3)
        ids = remember(api, task, sent[4:7])
        assert set(ids_in(queue(api, task))) == set(ids)
        until_gone(data_dir, sent[:4])
        assert found_in(data_dir, sent[4:7]) == 3
        api.patch(f"/v1/tasks/{task}", json={"capture": {"limit": 1}})
        until_gone(data_dir, sent[4:6])
        assert ids_in(queue(api, task)) == ids[2:]
        refused = api.post(f"/v1/tasks/{task}/predict", params={"remember": "true"}, **queries(sent[7:]))
        assert refused.status_code == 422
        assert refused.json()["code"] == "limit_exceeded"

    def test_a_restart_keeps_captures(self, tmp_path: Path, small_flags: tuple[str, ...]) -> None:
        sent = images(3, 17)
        with ServerProcess(tmp_path / "data", *small_flags) as process, httpx.Client(base_url=process.url) as api:
            task = task_of(api, 18, keep="all")
            (remembered,) = remember(api, task, sent[:1])
            predict(api, task, sent[1:])
            assert process.stop() == 0  # which stores what waits
        with ServerProcess(tmp_path / "data", *small_flags) as process, httpx.Client(base_url=process.url) as api:
            page = queue(api, task)
            assert page["total"] == 3
            assert api.get(f"/v1/tasks/{task}/captures/{remembered}/image").content == sent[0]

    def test_without_images_only_embeddings_are_kept(self, tmp_path: Path, small_flags: tuple[str, ...]) -> None:
        sent = images(3, 19)
        flags = (*small_flags, "--keep-images=false")
        with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url) as api:
            task = task_of(api, 20, keep="all")
            predict(api, task, sent[:1])
            until_total(api, task, 1)
            ids = remember(api, task, sent[1:])
            assert {entry["image"] for entry in queue(api, task)["captures"]} == {None}
            missing = api.get(f"/v1/tasks/{task}/captures/{ids[0]}/image")
            assert missing.json()["code"] == "image_not_kept"
            assert found_in(tmp_path, sent) == 0
            assert resolve(api, task, {"captures": ids, "label": "cow"}).json()["version"] == 2
            assert not any(each["image_kept"] for each in api.get(f"/v1/tasks/{task}/examples").json()["examples"])


def until_gone(data_dir: Path, values: list[bytes]) -> None:
    for _ in range(200):
        if found_in(data_dir, values) == 0:
            return
        time.sleep(0.05)
    raise AssertionError("bytes of removed captures are still in a file")


class TestQueue:
    def test_pages_hold_every_capture_once_in_each_order(self, api: httpx.Client) -> None:
        task = task_of(api, 21)
        ids = remember(api, task, images(12, 22))
        for order in ("most-useful", "newest", "unknown"):
            seen: list[str] = []
            params: dict[str, str | int] = {"order": order, "limit": 5}
            while True:
                page = queue(api, task, **params)
                seen += ids_in(page)
                if page["next_cursor"] is None:
                    break
                params["after"] = page["next_cursor"]
            assert sorted(seen) == sorted(ids)
        assert queue(api, task, order="newest")["captures"][0]["id"] == ids[-1]
        novelty = [entry["novelty"] for entry in queue(api, task, order="unknown")["captures"]]
        assert novelty == sorted(novelty, reverse=True)
        wrong = api.get(f"/v1/tasks/{task}/captures", params={"after": "nothing"})
        assert wrong.json()["code"] == "invalid_request"

    def test_suggestions_are_what_the_active_version_answers(self, api: httpx.Client) -> None:
        task, sent = task_of(api, 23), images(5, 24)
        ids = remember(api, task, sent)
        new = list(zip(("cow", "cow"), images(2, 25), strict=True))
        assert api.post(f"/v1/tasks/{task}/examples", **multipart(new)).json()["version"] == 2
        answers = dict(zip(ids, predict(api, task, sent), strict=True))
        page = queue(api, task)
        assert page["version"] == 2
        for entry in page["captures"]:
            answer = answers[entry["id"]]
            assert (entry["label"], entry["known"]) == (answer["label"], answer["known"])
            assert entry["probability"] == pytest.approx(answer["probability"], abs=1e-4)
            assert entry["novelty"] == pytest.approx(answer["novelty"], abs=1e-3)
            assert entry["answered"]["version"] == 1

    def test_look_alikes_are_one_entry_and_copies_of_examples_none(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, support[:10])["id"]
        twice = remember(api, task, [support[20][1], support[20][1]])
        remember(api, task, [support[3][1]])
        page = queue(api, task, order="newest")
        assert (page["total"], page["duplicates"]) == (3, 1)
        assert [(entry["id"], entry["alike"]) for entry in page["captures"]] == [(twice[1], [twice[0]])]

    def test_an_unknown_task_is_answered_404(self, api: httpx.Client) -> None:
        for path in ("captures", "captures/prediction_1/image"):
            assert api.get(f"/v1/tasks/task_none/{path}").json()["code"] == "task_not_found"


class TestResolving:
    def test_many_decisions_make_one_version(self, api: httpx.Client, data_dir: Path) -> None:
        task, sent = task_of(api, 26), images(6, 27)
        ids = remember(api, task, sent)
        changed = resolve(
            api,
            task,
            {"captures": ids[:2], "label": "cat"},
            {"captures": [ids[2]], "label": " cow "},
            {"captures": ids[3:5], "discard": True},
        )
        assert changed.status_code == 201, changed.text
        body = changed.json()
        assert body["version"] == 2
        assert {each["label"]: each["examples"] for each in body["classes"]} == {"cat": 4, "dog": 2, "cow": 1}
        assert body["quality"]["judged"] == 6
        assert changed.headers["location"] == f"/v1/tasks/{task}"
        examples = api.get(f"/v1/tasks/{task}/examples").json()["examples"][4:]
        fetched = [api.get(f"/v1/tasks/{task}/examples/{each['id']}/image").content for each in examples]
        assert fetched == sent[:3]
        assert [answer["label"] for answer in predict(api, task, sent[:3])] == ["cat", "cat", "cow"]
        assert ids_in(queue(api, task)) == ids[5:]
        assert found_in(data_dir, sent[3:5]) == 0

    def test_captures_of_none_of_the_classes_become_negatives(self, api: httpx.Client) -> None:
        task, sent = task_of(api, 60), images(3, 61)
        ids = remember(api, task, sent)
        body = resolve(api, task, {"captures": ids[:1], "label": None}, {"captures": ids[1:2], "label": "cow"}).json()
        assert (body["version"], body["negatives"]) == (2, 1)
        assert {each["label"]: each["examples"] for each in body["classes"]} == {"cat": 2, "dog": 2, "cow": 1}
        (negative,) = api.get(f"/v1/tasks/{task}/examples", params={"negatives": True}).json()["examples"]
        assert api.get(f"/v1/tasks/{task}/examples/{negative['id']}/image").content == sent[0]
        corrected = api.post(f"/v1/tasks/{task}/corrections", json={"prediction": ids[2], "label": None}).json()
        assert (corrected["version"], corrected["negatives"]) == (3, 2)

    def test_it_makes_the_version_that_adding_the_images_makes(self, api: httpx.Client) -> None:
        sent, others = images(4, 28), images(6, 29)
        tasks = [task_of(api, 30), task_of(api, 30)]
        ids = remember(api, tasks[0], sent)
        labels = ["cat", "dog", "cow", "cow"]
        by_label = [{"captures": [id_], "label": label} for id_, label in zip(ids, labels, strict=True)]
        one = resolve(api, tasks[0], *by_label).json()
        added = api.post(f"/v1/tasks/{tasks[1]}/examples", **multipart(list(zip(labels, sent, strict=True)))).json()
        assert one["quality"]["accuracy"] == added["quality"]["accuracy"]
        for mine, theirs in zip(predict(api, tasks[0], others), predict(api, tasks[1], others), strict=True):
            assert mine["probability"] == pytest.approx(theirs["probability"], abs=1e-4)

    def test_nothing_changes_if_one_capture_is_gone(self, api: httpx.Client) -> None:
        task = task_of(api, 31)
        ids = remember(api, task, images(2, 32))
        assert resolve(api, task, {"captures": ids[:1], "discard": True}).json()["version"] == 1
        refused = resolve(api, task, {"captures": ids[1:], "label": "cat"}, {"captures": ids[:1], "discard": True})
        assert refused.status_code == 404
        assert refused.json()["code"] == "capture_not_found"
        assert ids[0] in refused.json()["detail"]
        assert api.get(f"/v1/tasks/{task}").json()["version"] == 1
        assert ids_in(queue(api, task)) == ids[1:]

    def test_one_of_two_concurrent_decisions_wins(self, api: httpx.Client, server: ServerProcess) -> None:
        task = task_of(api, 33)
        (id_,) = remember(api, task, images(1, 34))

        def decide(label: str) -> int:
            with httpx.Client(base_url=server.url, timeout=60) as own:
                return resolve(own, task, {"captures": [id_], "label": label}).status_code

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(decide, ["cat", "dog", "cow", "hen"])) == [201, 404, 404, 404]
        assert api.get(f"/v1/tasks/{task}").json()["version"] == 2

    def test_a_retry_beside_a_first_try_whose_client_has_left_gets_its_answer(
        self, api: httpx.Client, server: ServerProcess, data_dir: Path
    ) -> None:
        task = task_of(api, 70)
        (capture,) = remember(api, task, images(1, 71))
        content = json.dumps({"decisions": [{"captures": [capture], "label": "cat"}]}).encode()
        path, headers = f"/v1/tasks/{task}/captures/resolve", {"Idempotency-Key": "left", "Content-Type": "application/json"}
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        with ThreadPoolExecutor() as threads:
            with nobody_writes(data_dir):
                with socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port)) as connection:
                    connection.sendall(f"{head}\r\n".encode() + content)
                    time.sleep(0.5)
                time.sleep(0.5)
                retry = threads.submit(api.post, path, content=content, headers=headers)
                time.sleep(0.5)
            again = retry.result()
        assert (again.status_code, again.json()["version"]) == (201, 2), again.text

    @pytest.mark.parametrize("discard", [False, True])
    def test_a_retry_gets_the_first_answer_again(self, api: httpx.Client, discard: bool) -> None:
        task = task_of(api, 35)
        ids = remember(api, task, images(1, 36))
        decision = {"captures": ids, **({"discard": True} if discard else {"label": "cat"})}
        key = {"Idempotency-Key": f"{task} {discard}"}
        first, second = (resolve(api, task, decision, **key) for _ in range(2))
        assert second.headers["idempotent-replayed"] == "true"
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["version"] == second.json()["version"] == (1 if discard else 2)
        assert resolve(api, task, {"captures": ids, "label": "dog"}, **key).json()["code"] == "idempotency_key_reused"

    @pytest.mark.parametrize(
        "decisions",
        [
            [],
            [{"captures": []}],
            [{"captures": ["prediction_1"]}],
            [{"captures": ["prediction_1"], "label": "cat", "discard": True}],
            [{"captures": ["prediction_1", "prediction_1"], "label": "cat"}],
            [{"captures": ["prediction_1"], "label": ""}],
        ],
    )
    def test_what_is_no_decision_is_refused(self, api: httpx.Client, decisions: list[dict[str, Any]]) -> None:
        refused = resolve(api, task_of(api, 37), *decisions)
        assert refused.status_code == 422
        assert refused.json()["code"] in {"invalid_request", "invalid_label"}

    def test_a_correction_makes_the_image_an_example(self, api: httpx.Client) -> None:
        task, sent = task_of(api, 38), images(1, 39)
        (id_,) = remember(api, task, sent, unknown="ignore")
        path = f"/v1/tasks/{task}/corrections"
        assert api.post(path, json={"prediction": id_, "label": "cow"}).json()["version"] == 2
        assert predict(api, task, sent)[0]["label"] == "cow"
        assert api.post(path, json={"prediction": id_, "label": "cow"}).json()["code"] == "capture_not_found"
        assert queue(api, task)["total"] == 0


class TestForgetting:
    def test_no_file_holds_a_capture_after_forgetting_or_deletion(self, api: httpx.Client, data_dir: Path) -> None:
        task, sent = task_of(api, 40, keep="all"), images(6, 41)
        remember(api, task, sent[:3])
        gone = [*sent[:3], *embeddings_in(data_dir, task)]
        assert found_in(data_dir, gone) == 6
        predict(api, task, sent[3:4])  # It may wait yet, or be stored already.
        example = api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
        assert api.delete(f"/v1/tasks/{task}/examples/{example}", params={"forget": "true"}).status_code == 200
        assert found_in(data_dir, [*gone, sent[3]]) == 0
        assert queue(api, task)["total"] == 0

        remember(api, task, sent[4:])
        predict(api, task, sent[:1])
        assert found_in(data_dir, sent[4:]) == 2
        assert api.delete(f"/v1/tasks/{task}").status_code == 204
        other = task_of(api, 42, keep="all")
        predict(api, other, images(1, 43))
        until_total(api, other, 1)  # after whatever waited of the task that is gone
        assert found_in(data_dir, sent) == 0

    def test_forgetting_an_example_that_was_a_capture_leaves_nothing_of_it(self, api: httpx.Client, data_dir: Path) -> None:
        task, sent = task_of(api, 44), images(2, 45)
        ids = remember(api, task, sent)
        gone = [sent[0], embeddings_in(data_dir, task)[0]]
        resolve(api, task, {"captures": ids[:1], "label": "cat"})
        example = api.get(f"/v1/tasks/{task}/examples").json()["examples"][-1]["id"]
        assert found_in(data_dir, gone) == 2
        assert api.delete(f"/v1/tasks/{task}/examples/{example}", params={"forget": "true"}).status_code == 200
        assert found_in(data_dir, gone) == 0
