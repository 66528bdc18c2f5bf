"""Tasks on a backbone that reads class names, over real HTTP: created without images, grown by examples, moved and archived."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scipy.special import softmax

from headstart import AsyncClient, Client, Task
from server.store.opening import open_beside
from server.store.quotas import QuotaStore
from tests.helpers.bundles import small_bundle
from tests.helpers.databases import database_url
from tests.helpers.named_tasks import (
    COLOURS,
    added,
    embedding,
    examples,
    named,
    new_tasks_on,
    picture,
    refreshed,
    sizes,
)
from tests.helpers.servers import ServerProcess
from tests.helpers.text_bundles import SCALE, text_bundle, vector_of
from tests.helpers.uploads import as_json, create, predict, queries

READS, BLIND, BROKEN = "reads@1", "blind@1", "broken@1"
_DIM = 48


_QUERIES = [(colour, picture(colour, 500 + i)) for i in range(4) for colour in COLOURS]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names") / "data"


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Sequence[str]:
    folder = tmp_path_factory.mktemp("bundles")
    assert text_bundle(shipped_bundle, folder, "reads") == READS
    assert small_bundle(shipped_bundle, folder, "blind") == BLIND
    assert text_bundle(shipped_bundle, folder, "broken", further_numbers=3) == BROKEN
    return ("--bundles-dir", str(folder), "--bundle", READS)


@pytest.fixture(scope="module")
def api(data_dir: Path, flags: Sequence[str]) -> Iterator[httpx.Client]:
    with ServerProcess(data_dir, *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        yield api
        assert process.stop() == 0, process.log()


def recognised(api: httpx.Client, task: str) -> float:
    found = predict(api, task, [image for _, image in _QUERIES])
    return float(np.mean([each["label"] == label for each, (label, _) in zip(found, _QUERIES, strict=True)]))


def test_a_task_of_names_alone_answers_the_softmax_of_scaled_cosines(api: httpx.Client) -> None:
    task = named(api)
    assert sizes(task) == dict.fromkeys(COLOURS, 0)
    assert (task["name_weight"], task["head"]["temperature"], task["quality"]) == (1.0, 1 / SCALE, None)
    for (_, image), found in zip(_QUERIES, predict(api, task["id"], [image for _, image in _QUERIES]), strict=True):
        z = embedding(image)
        cosines = np.array([vector_of(colour, _DIM) @ z for colour in COLOURS]) / np.linalg.norm(z)
        expected = softmax(SCALE * cosines)
        np.testing.assert_allclose([found["scores"][colour] for colour in COLOURS], expected, atol=1e-4)
        assert found["known"] == (expected.max() >= 0.5)
        assert found["nearest"] == []
    assert recognised(api, task["id"]) == 1.0


def test_options_that_do_not_suit_names_wait_for_images(api: httpx.Client) -> None:
    usual, task = named(api), named(api, options={"temperature": 0.5, "centre": True, "C": 2.0})
    images = [image for _, image in _QUERIES]
    first, second = ([each["scores"] for each in predict(api, each["id"], images)] for each in (usual, task))
    assert first == second, "the names answer as their network was trained"
    archive = api.get(f"/v1/tasks/{task['id']}/archive").content
    again = api.post("/v1/tasks", files=[("archive", ("a.zip", archive))]).json()
    for each in (task, again):
        assert (each["head"]["temperature"], each["head"]["centre"], each["head"]["C"]) == (1 / SCALE, False, 2.0)
        full = added(api, each["id"], examples(1))
        assert (full["head"]["temperature"], full["head"]["centre"], full["head"]["C"]) == (0.5, True, 2.0)


def test_both_forms_make_the_same_task_and_clean_names_as_labels(api: httpx.Client) -> None:
    form = api.post("/v1/tasks", data={"classes": '[" red ", "green", "red"]'}, files=[("name", (None, "form"))])
    assert form.status_code == 201, form.text
    assert sizes(form.json()) == {"red": 0, "green": 0} == sizes(named(api, ["red", " green"]))


def test_both_clients_create_a_task_of_names(api: httpx.Client) -> None:
    with Client(str(api.base_url)) as client:
        task = client.create_task(None, [], classes=COLOURS)
        grown = client.create_task("grown", examples(1)[:1], classes=COLOURS, options={"C": 0.5}, shrink=False)
        assert (grown.head.C, [size.examples for size in grown.classes]) == (0.5, [1, 0, 0])
        assert client.predict(task.id, [_QUERIES[2][1]]).checked()[0].label == "blue"

    async def created() -> Task:
        async with AsyncClient(str(api.base_url)) as client:
            return await client.create_task("named", [], classes=COLOURS)

    again = asyncio.run(created())
    for each in (task, again):
        assert (each.name_weight, [size.label for size in each.classes], each.examples) == (1.0, COLOURS, 0)


def test_negatives_may_come_before_any_example(api: httpx.Client) -> None:
    negative = {"label": None, "image": as_json(examples(1))["json"]["examples"][0]["image"]}
    task = named(api, examples=[negative])
    assert (task["negatives"], sizes(task)) == (1, dict.fromkeys(COLOURS, 0))
    assert sizes(added(api, task["id"], examples(1))) == dict.fromkeys(COLOURS, 1)


def test_a_task_of_names_grows_by_examples(api: httpx.Client) -> None:
    task = named(api)["id"]
    first = added(api, task, examples(1)[:1])
    assert (sizes(first), first["name_weight"]) == ({"red": 1, "green": 0, "blue": 0}, 1.0)
    assert recognised(api, task) == 1.0, "an image of one class does not outweigh the names of the others"
    quality = api.get(f"/v1/tasks/{task}/quality").json()
    assert (quality["judged"], quality["accuracy"]) == (0, None)
    assert "'green'" in quality["advice"]
    full = added(api, task, examples(2)[1:])
    assert sizes(full) == dict.fromkeys(COLOURS, 2)
    assert full["quality"]["judged"] == 6
    assert recognised(api, task) == 1.0
    found = predict(api, task, [_QUERIES[0][1]])[0]
    assert len(found["nearest"]) == 3
    example = api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
    for _ in range(2):  # the class keeps its name when its last image goes
        example = next(e["id"] for e in api.get(f"/v1/tasks/{task}/examples").json()["examples"] if e["label"] == "red")
        left = api.delete(f"/v1/tasks/{task}/examples/{example}").json()
    assert (sizes(left)["red"], left["name_weight"]) == (0, 1.0)
    rolled = api.patch(f"/v1/tasks/{task}", json={"active_version": full["version"]}).json()
    assert (rolled["classes"], rolled["head"]) == (full["classes"], full["head"])
    history = api.get(f"/v1/tasks/{task}/versions").json()["versions"]
    assert [sum(sizes(version).values()) for version in history] == [4, 5, 6, 1, 0]


def test_names_that_know_the_classes_help_and_others_are_not_used(api: httpx.Client) -> None:
    weak = 12.0  # images that hardly show their class
    nonsense = ["thing0", "thing1", "thing2"]
    colours, others = create(api, examples(4, strength=weak)), create(api, examples(4, nonsense, strength=weak))
    assert colours["name_weight"] > 0
    assert others["name_weight"] == 0.0
    assert colours["quality"]["accuracy"] > others["quality"]["accuracy"]
    assert api.get(f"/v1/tasks/{colours['id']}").json()["name_weight"] == colours["name_weight"]


def test_names_without_weight_leave_the_head_as_it_is(api: httpx.Client) -> None:
    nonsense = ["thing0", "thing1", "thing2"]
    other = create(api, examples(3, nonsense, strength=12.0))
    assert other["name_weight"] == 0.0
    with new_tasks_on(api, BLIND, then=READS):
        blind = create(api, examples(3, nonsense, strength=12.0))
    assert blind["name_weight"] is None
    images = [image for _, image in _QUERIES]
    seen, unseen = (predict(api, task["id"], images) for task in (other, blind))
    assert [each["scores"] for each in seen] == [each["scores"] for each in unseen], "to the last bit"


def test_a_backbone_that_cannot_read_refuses_names_alone(api: httpx.Client) -> None:
    with new_tasks_on(api, BLIND, then=READS):
        refused = api.post("/v1/tasks", json={"classes": COLOURS})
        few = api.post("/v1/tasks", json={"classes": COLOURS, **as_json(examples(1)[:2])["json"]})
        whole = api.post("/v1/tasks", json={"classes": COLOURS, **as_json(examples(1))["json"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert BLIND in refused.json()["detail"]
    assert "'blue'" in few.json()["detail"]
    assert (whole.status_code, whole.json()["name_weight"]) == (201, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"classes": ["red"]}, "too_few_classes"),
        ({"classes": ["red", "x" * 129]}, "invalid_label"),
        ({"classes": ["red", 7]}, "invalid_request"),
        ({"classes": [f"class {i}" for i in range(257)]}, "limit_exceeded"),
        ({"classes": [f"class {i}" for i in range(1001)]}, "limit_exceeded"),
        ({"classes": COLOURS, "label_mode": "multiple"}, "invalid_request"),
    ],
)
def test_names_that_make_no_task_are_refused(api: httpx.Client, body: Mapping[str, Any], code: str) -> None:
    response = api.post("/v1/tasks", json=body)
    assert (response.status_code, response.json()["code"]) == (422, code), response.text


def test_a_retry_gets_the_first_answer_and_other_names_are_another_request(api: httpx.Client) -> None:
    key = {"Idempotency-Key": "names"}
    first, again, other = (api.post("/v1/tasks", json={"classes": COLOURS[:n]}, headers=key).json() for n in (3, 3, 2))
    assert first["id"] == again["id"]
    assert other["code"] == "idempotency_key_reused"


def test_every_other_call_knows_a_class_without_an_image(api: httpx.Client) -> None:
    task = named(api, capture={"keep": "all"})["id"]
    query = queries([_QUERIES[0][1]])
    together = api.post(f"/v1/tasks/{task}/predict", params={"mode": "transductive"}, **query)
    assert together.json()["mode"] == "inductive", together.text
    sets = api.post(f"/v1/tasks/{task}/predict", params={"coverage": 0.9}, **query).json()
    assert (sets["predictions"][0]["set"][0], sets["coverage"]["finest"]) == ("red", None)
    many = api.post("/v1/predict", params={"tasks": task, "unknown": "judge"}, **query).json()["results"][0]["predictions"][0]
    assert (many["label"], many["nearest"]) == ("red", [])
    assert api.get(f"/v1/tasks/{task}/classifier").status_code == 200
    refused = api.post(f"/v1/tasks/{task}/compare", json={})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    while not (waiting := api.get(f"/v1/tasks/{task}/captures").json()["captures"]):
        time.sleep(0.02)
    assert waiting[0]["label"] == "red"
    decided = api.post(
        f"/v1/tasks/{task}/captures/resolve", json={"decisions": [{"captures": [waiting[0]["id"]], "label": "red"}]}
    )
    assert sizes(decided.json()) == {"red": 1, "green": 0, "blue": 0}


def test_an_archive_makes_the_same_task_again(api: httpx.Client) -> None:
    task = named(api)["id"]
    for new in ([], examples(1)[:1]):
        if new:
            added(api, task, new)
        archive = api.get(f"/v1/tasks/{task}/archive").content
        again = api.post("/v1/tasks", files=[("archive", ("a.zip", archive))])
        assert again.status_code == 201, again.text
        before, after = (predict(api, id_, [_QUERIES[1][1]])[0]["scores"] for id_ in (task, again.json()["id"]))
        assert before == pytest.approx(after)


def test_a_comparison_weighs_the_names_of_each_candidate(api: httpx.Client) -> None:
    task = create(api, examples(4, strength=12.0))
    ways = [{"backbone": BLIND}, {"options": {"C": task["head"]["C"]}}]
    found = api.post(f"/v1/tasks/{task['id']}/compare", json={"candidates": ways}).json()["candidates"]
    current, blind, same = (each["accuracy"] for each in found)
    assert current == same == task["quality"]["accuracy"] > blind


def test_a_usual_candidate_of_a_comparison_relies_on_the_names_that_were_given(api: httpx.Client) -> None:
    support = as_json(examples(2, strength=3.0))["json"]["examples"]
    task, other = named(api, examples=support), api.post("/v1/tasks", json={"examples": support}).json()
    assert task["name_weight"] > other["name_weight"] == 0.0, "two of each class are no evidence"
    task = task["id"]
    _, *usual = api.post(f"/v1/tasks/{task}/compare", json={}).json()["candidates"]
    ways = [{"options": {"solver": each["head"]["solver"]}} for each in usual if each["backbone"] == READS]
    assert ways
    _, *asked = api.post(f"/v1/tasks/{task}/compare", json={"candidates": ways}).json()["candidates"]
    for one, other in zip(usual, asked, strict=False):
        assert (one["head"], one["accuracy"], one["log_loss"]) == (other["head"], other["accuracy"], other["log_loss"])


def test_a_bundle_with_a_broken_text_network_is_not_opened(api: httpx.Client) -> None:
    refused = api.post("/v1/backbones", json={"id": BROKEN})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_bundle"), refused.text
    assert "text.onnx: its embeddings are not those of the manifest" in refused.json()["detail"]


def test_a_name_without_an_image_costs_as_much_of_a_quota_as_an_image(api: httpx.Client, data_dir: Path) -> None:
    def limited(images: int | None) -> None:
        with closing(open_beside(database_url(data_dir))) as database:
            QuotaStore(database).change("default", "", {"images": images})
        while (images is not None) != any(each["quota"] == "images" for each in api.get("/v1/limits").json()["quotas"]):
            time.sleep(0.02)

    limited(4)
    try:
        image = as_json(examples(1))["json"]["examples"][:2]  # of two of the classes
        refused = api.post("/v1/tasks", json={"classes": [*COLOURS, "thing0", "thing1"], "examples": image})
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded"), refused.text
        assert "images of this request: 5;" in refused.json()["detail"]
        assert named(api, [*COLOURS, "thing0"], examples=image)
    finally:
        limited(None)


def test_a_refresh_keeps_what_names_alone_answer_and_drops_names_elsewhere(api: httpx.Client) -> None:
    empty, full = named(api)["id"], named(api, examples=as_json(examples(3))["json"]["examples"])["id"]
    rows = refreshed(api, BLIND, [empty, full])
    assert (rows[empty]["outcome"], rows[empty]["reason"]["code"]) == ("kept", "needs_class_names")
    assert rows[full]["outcome"] == "moved"
    assert api.get(f"/v1/tasks/{full}").json()["name_weight"] is None
    assert refreshed(api, READS, [full])[full]["outcome"] == "moved"
    assert api.get(f"/v1/tasks/{full}").json()["name_weight"] is not None
