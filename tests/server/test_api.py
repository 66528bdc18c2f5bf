"""The three journeys' calls over real HTTP, on real images of classes that the backbone has never seen."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from openapi_spec_validator import validate

from benchmarks.server_process import ROOT
from models.bundle import SHIPPED, find_bundles, open_bundle
from models.engine import embed_all, open_engine
from models.heads.fitting import classes_of, fit_head
from models.heads.temperature import law_of, options_for, temperature
from models.images.preprocess import load_image
from models.manifest import TemperatureLaw
from server.errors import HeadstartError
from server.http.problems import TABLE
from tests.helpers import uploads
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import as_archive, as_json, base64_of, create, multipart, predict


def by_path(examples: Labelled) -> list[tuple[str, bytes]]:
    return [(f"{label}/{i}.png", image) for i, (label, image) in enumerate(examples)]


class TestCreation:
    def test_answers_with_the_task_and_where_it_is(self, api: httpx.Client, support: Labelled) -> None:
        response = api.post("/v1/tasks", **multipart(support, name="novel"))
        task = response.json()
        assert response.status_code == 201
        assert response.headers["location"] == f"/v1/tasks/{task['id']}"
        assert (task["name"], task["version"]) == ("novel", 1)
        assert {c["label"]: c["examples"] for c in task["classes"]} == Counter(label for label, _ in support)
        assert task["timing_ms"].keys() == {"decode", "embed", "fit", "store", "total"}
        shown = api.get(response.headers["location"]).json()
        assert shown == {key: value for key, value in task.items() if key not in {"quality", "timing_ms"}}

    def test_every_form_of_body_makes_the_same_classifier(self, api: httpx.Client, support: Labelled, queries: Labelled) -> None:
        bodies = (multipart(support), as_json(support), as_archive(by_path(support)))
        answers = []
        for body in bodies:
            response = api.post("/v1/tasks", **body)
            assert response.status_code == 201, response.text
            answers.append(predict(api, response.json()["id"], [image for _, image in queries[:8]]))
        for other in answers[1:]:
            for one, two in zip(answers[0], other, strict=True):
                assert one["scores"] == pytest.approx(two["scores"], abs=1e-6)

    def test_an_archive_may_have_a_folder_around_it_and_a_desktops_leavings(self, api: httpx.Client, support: Labelled) -> None:
        wrapped = [(f"animals/{path}", image) for path, image in by_path(support)]
        leavings = [("__MACOSX/._a", b""), ("animals/.DS_Store", b""), (f"animals/{support[0][0]}/Thumbs.db", b"")]
        task = api.post("/v1/tasks", **as_archive(wrapped + leavings)).json()
        assert {c["label"] for c in task["classes"]} == {label for label, _ in support}

    def test_options_reach_the_head(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, support, options='{"solver": "ridge", "C": 0.5}')
        assert (task["head"]["solver"], task["head"]["C"]) == ("ridge", 0.5)

    def test_labels_keep_case_and_script_and_lose_surrounding_space(self, api: httpx.Client, support: Labelled) -> None:
        names = ["  Übergröße ", "猫", "👩‍🚒"]
        task = create(api, [(name, image) for name, (_, image) in zip(names, support[::5], strict=False)])
        assert [c["label"] for c in task["classes"]] == ["Übergröße", "猫", "👩‍🚒"]


@pytest.fixture(scope="module")
def task(server: ServerProcess, support: Labelled) -> str:
    """A task of the five sample classes."""
    with httpx.Client(base_url=server.url, timeout=60) as api:
        id_: str = create(api, support)["id"]
        return id_


class TestPrediction:
    def test_recognises_classes_never_seen_in_training(self, api: httpx.Client, task: str, queries: Labelled) -> None:
        predictions = predict(api, task, [image for _, image in queries])
        right = sum(p["label"] == label for p, (label, _) in zip(predictions, queries, strict=True))
        assert right / len(queries) > 0.6

    def test_scores_are_probabilities_the_most_probable_first(self, api: httpx.Client, task: str, queries: Labelled) -> None:
        for prediction in predict(api, task, [image for _, image in queries[:5]]):
            scores = list(prediction["scores"].values())
            assert sum(scores) == pytest.approx(1.0)
            assert scores == sorted(scores, reverse=True)
            assert next(iter(prediction["scores"].items())) == (prediction["label"], prediction["probability"])

    def test_raw_multipart_and_json_bodies_agree(self, api: httpx.Client, task: str, queries: Labelled) -> None:
        image = queries[0][1]
        path = f"/v1/tasks/{task}/predict"
        answers = [
            predict(api, task, [image]),
            api.post(path, content=image, headers={"Content-Type": "image/png"}).json()["predictions"],
            api.post(path, json={"images": [base64_of(image)]}).json()["predictions"],
        ]
        assert answers[0] == answers[1] == answers[2]

    def test_top_k_shortens_the_scores(self, api: httpx.Client, task: str, queries: Labelled) -> None:
        response = api.post(f"/v1/tasks/{task}/predict?top_k=2", **uploads.queries([queries[0][1]]))
        assert len(response.json()["predictions"][0]["scores"]) == 2

    def test_one_broken_image_among_32_spoils_nothing(self, api: httpx.Client, task: str, queries: Labelled) -> None:
        images = [image for _, image in queries[:32]]
        images[17] = images[17][:200]
        together = predict(api, task, images)
        assert together[17]["error"]["code"] == "image_broken"
        for position, image in enumerate(images):
            if position != 17:
                (alone,) = predict(api, task, [image])
                assert together[position]["label"] == alone["label"]
                assert together[position]["scores"] == pytest.approx(alone["scores"], abs=1e-6)

    def test_equals_the_offline_head_on_the_same_images(
        self, api: httpx.Client, task: str, support: Labelled, queries: Labelled, shipped_bundle: Path
    ) -> None:
        bundle = open_bundle(shipped_bundle)
        engine = open_engine(bundle, api.get(f"/v1/backbones/{bundle.id}").json()["engines"][0])
        spec = bundle.manifest.input
        support_z = embed_all(engine, np.stack([load_image(image, spec) for _, image in support]))
        query_z = embed_all(engine, np.stack([load_image(image, spec) for _, image in queries]))
        labels = [label for label, _ in support]
        options = options_for(bundle.manifest.head, None, support_z, classes_of(labels)[1], bundle.feature_mean)
        head = fit_head(support_z, labels, engine.space, options)
        offline = head.probabilities(query_z, engine.space)
        for prediction, row in zip(predict(api, task, [image for _, image in queries]), offline, strict=True):
            assert prediction["scores"] == pytest.approx(dict(zip(head.labels, row, strict=True)), abs=1e-5)


class TestVersions:
    def test_adding_and_removing_make_versions_that_can_be_returned_to(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, support[:10])
        path = f"/v1/tasks/{task['id']}"
        measured = [task["quality"]]
        added = api.post(f"{path}/examples", **multipart([("new class", support[20][1])])).json()
        measured.append(added["quality"])
        assert (added["version"], len(added["classes"])) == (2, 3)
        (extra,) = [e for e in api.get(f"{path}/examples").json()["examples"] if e["label"] == "new class"]
        removed = api.delete(f"{path}/examples/{extra['id']}").json()
        assert (removed["version"], len(removed["classes"])) == (3, 2)
        measured.append(removed["quality"])
        history = api.get(f"{path}/versions").json()["versions"]
        assert [version["change"] for version in history] == ["removed", "added", "created"]
        for version, quality in zip(reversed(history), measured, strict=True):
            assert (version["accuracy"], version["interval"]) == (quality["accuracy"], quality["interval"])

        back = api.patch(path, json={"active_version": 2}).json()
        assert (back["version"], len(back["classes"])) == (2, 3)
        assert predict(api, task["id"], [support[0][1]])[0]["scores"].keys() >= {"new class"}
        branched = api.post(f"{path}/examples", **multipart([("another", support[24][1])])).json()
        assert branched["version"] == 4
        assert {c["label"] for c in branched["classes"]} == {c["label"] for c in back["classes"]} | {"another"}

    def test_a_changed_support_set_equals_one_made_at_once(self, api: httpx.Client, support: Labelled, queries: Labelled) -> None:
        whole = create(api, support)["id"]
        grown = create(api, support[:12])["id"]
        api.post(f"/v1/tasks/{grown}/examples", **multipart(support[12:]))
        image = queries[3][1]
        assert predict(api, whole, [image])[0]["scores"] == pytest.approx(predict(api, grown, [image])[0]["scores"], abs=1e-6)

    def test_a_temperature_follows_the_support_set_unless_it_was_asked_for(
        self, api: httpx.Client, support: Labelled, shipped_bundle: Path
    ) -> None:
        law = law_of(open_bundle(shipped_bundle).manifest.head)
        assert isinstance(law, TemperatureLaw), "it knows the numbers alone"

        def expected(shots: int) -> float:
            return temperature(law, np.zeros((5 * shots, 1)), np.repeat(np.arange(5), shots))

        task = create(api, support[::5])
        assert task["head"]["temperature"] == expected(1)
        path = f"/v1/tasks/{task['id']}/examples"
        grown = api.post(path, **multipart(support[1::5])).json()
        assert grown["head"]["temperature"] == expected(2)
        example = api.get(path).json()["examples"][0]["id"]
        assert api.delete(f"{path}/{example}").json()["head"]["temperature"] not in {
            task["head"]["temperature"],
            grown["head"]["temperature"],
        }
        asked = create(api, support[::5], options='{"temperature": 0.5}')
        assert api.post(f"/v1/tasks/{asked['id']}/examples", **multipart(support[1:2])).json()["head"]["temperature"] == 0.5

    def test_the_last_example_of_the_second_class_stays(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, [support[0], support[5]])
        path = f"/v1/tasks/{task['id']}/examples"
        response = api.delete(f"{path}/{api.get(path).json()['examples'][0]['id']}")
        assert (response.status_code, response.json()["code"]) == (422, "too_few_classes")

    def test_examples_come_back_as_they_were_sent(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, support)
        path = f"/v1/tasks/{task['id']}/examples"
        seen = []
        cursor = None
        while True:
            page = api.get(path, params={"limit": 7, **({"cursor": cursor} if cursor else {})}).json()
            seen += page["examples"]
            if (cursor := page["next_cursor"]) is None:
                break
        assert [(e["label"], e["sha256"]) for e in seen] == [
            (label, hashlib.sha256(image).hexdigest()) for label, image in support
        ]
        image = api.get(f"{path}/{seen[3]['id']}/image")
        assert (image.content, image.headers["content-type"]) == (support[3][1], "image/png")


class TestTasks:
    def test_the_list_is_newest_first_in_pages(self, api: httpx.Client, support: Labelled) -> None:
        made = [create(api, support[::5])["id"] for _ in range(5)]
        first = api.get("/v1/tasks", params={"limit": 3}).json()
        second = api.get("/v1/tasks", params={"limit": 2, "cursor": first["next_cursor"]}).json()
        assert [task["id"] for task in first["tasks"] + second["tasks"]] == made[::-1]

    def test_rename_and_delete(self, api: httpx.Client, support: Labelled) -> None:
        path = f"/v1/tasks/{create(api, support[::5])['id']}"
        assert api.patch(path, json={"name": " renamed "}).json()["name"] == "renamed"
        assert api.delete(path).status_code == 204
        for method, url in (("GET", path), ("DELETE", path), ("GET", f"{path}/versions"), ("GET", f"{path}/examples")):
            assert api.request(method, url).json()["code"] == "task_not_found"


class TestIdempotency:
    def test_the_same_request_gets_the_first_answer_again(self, api: httpx.Client, support: Labelled) -> None:
        headers = {"Idempotency-Key": "retry-1"}
        first = api.post("/v1/tasks", **multipart(support[::5]), headers=headers)
        again = api.post("/v1/tasks", **as_json(support[::5]), headers=headers)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        ignoring_time = [{k: v for k, v in r.json().items() if k != "timing_ms"} for r in (first, again)]
        assert ignoring_time[0] == ignoring_time[1]
        assert again.headers["location"] == first.headers["location"]

    def test_the_first_answer_stays_whatever_came_of_the_task_since(self, api: httpx.Client, support: Labelled) -> None:
        headers = {"Idempotency-Key": "retry-5"}
        first = api.post("/v1/tasks", **multipart(support[::5], name="at first"), headers=headers).json()
        path = f"/v1/tasks/{first['id']}"
        second = api.post(f"{path}/examples", **multipart(support[1:2]), headers={"Idempotency-Key": "retry-6"}).json()
        api.patch(path, json={"name": "renamed", "active_version": 1}).raise_for_status()
        again = api.post("/v1/tasks", **multipart(support[::5], name="at first"), headers=headers).json()
        added = api.post(f"{path}/examples", **multipart(support[1:2]), headers={"Idempotency-Key": "retry-6"}).json()
        for reply in (first, second, again, added):
            del reply["timing_ms"]
        assert (again, added) == (first, second)
        assert (again["name"], added["name"], added["version"]) == ("at first", "at first", 2)

    def test_another_request_under_the_same_key_is_refused(self, api: httpx.Client, support: Labelled) -> None:
        headers = {"Idempotency-Key": "retry-2"}
        task = api.post("/v1/tasks", **multipart(support[::5]), headers=headers).json()
        other = api.post("/v1/tasks", **multipart(support[::5], name="other"), headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        named = api.post("/v1/tasks", **multipart(support[::5], name="None"), headers=headers)
        assert (named.status_code, named.json()["code"]) == (422, "idempotency_key_reused")
        path = f"/v1/tasks/{task['id']}/examples"
        for _ in range(2):
            added = api.post(path, **multipart(support[:1]), headers={"Idempotency-Key": "retry-3"})
            assert added.json()["version"] == 2

    def test_retries_that_overtake_the_first_try_make_one_task(self, server: ServerProcess, support: Labelled) -> None:
        def post(_: int) -> str:
            response = httpx.post(
                f"{server.url}/v1/tasks", **multipart(support), headers={"Idempotency-Key": "retry-4"}, timeout=60
            )
            id_: str = response.json()["id"]
            return id_

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(post, range(8)))) == 1


class TestReference:
    def test_the_document_is_valid_and_complete(self, api: httpx.Client) -> None:
        document = api.get("/openapi.json").json()
        validate(document)
        codes = set()
        for path, operations in document["paths"].items():
            for operation in operations.values():
                assert operation["summary"], path
                for status, response in operation["responses"].items():
                    content = response.get("content", {})
                    assert content or status == "204", (path, status)
                    problems = content.get("application/problem+json", {})
                    codes |= problems.get("examples", {}).keys()
                    if "application/json" in content:
                        assert "example" in content["application/json"], (path, status)
                for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                    assert "example" in body, (path, kind)
        assert codes == {error.code for error in TABLE}

    def test_every_error_has_a_status_and_a_line_in_the_documentation(self) -> None:
        def leaves(kind: type[HeadstartError]) -> set[type[HeadstartError]]:
            return set().union(*map(leaves, kind.__subclasses__())) if kind.__subclasses__() else {kind}

        assert set(TABLE) == leaves(HeadstartError)
        documentation = (ROOT / "docs" / "api.md").read_text()
        for error, (status, _) in TABLE.items():
            assert f"| `{error.code}` | {int(status)} |" in documentation

    def test_backbones_say_which_one_new_tasks_get(self, api: httpx.Client, shipped_bundle: Path) -> None:
        found = api.get("/v1/backbones").json()["backbones"]
        assert [each["id"] for each in found if each["default"]] == [open_bundle(shipped_bundle).id]
        assert {each["id"] for each in found} == find_bundles(SHIPPED).keys()
        assert not any(each["missing"] or each["unserved_tasks"] for each in found)

    def test_health_and_metrics(self, api: httpx.Client) -> None:
        assert api.get("/healthz").json()["status"] == "ok"
        assert api.get("/readyz").json() == {"status": "ready", "checks": {"engine": "ok", "store": "ok", "bundles": "ok"}}
        api.get("/v1/tasks/unknown")
        metrics = api.get("/metrics").text
        for name in (
            "headstart_queue_images",
            "headstart_batch_images_bucket",
            "headstart_stage_seconds_bucket",
            'headstart_errors_total{code="task_not_found"}',
            "headstart_active_heads",
        ):
            assert name in metrics

    def test_the_front_door_leads_to_the_reference(self, api: httpx.Client) -> None:
        response = api.get("/")
        assert (response.status_code, response.headers["location"]) == (307, "/docs")

    def test_a_sane_request_id_comes_back_and_any_other_is_replaced(self, api: httpx.Client) -> None:
        assert api.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
        assert api.get("/healthz", headers={"X-Request-ID": "no spaces"}).headers["x-request-id"].startswith("req_")
        problem = api.get("/v1/tasks/unknown", headers={"X-Request-ID": "mine-2"}).json()
        assert problem["request_id"] == "mine-2"
