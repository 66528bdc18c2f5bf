"""Tasks in which an image may have any number of labels, over real HTTP: created in every form, asked, changed and forgotten."""

import io
import json
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import jaccard_score

from server.journeys.label_quality import jaccard
from tests.helpers.bundles import SMALL, small_bundle
from tests.helpers.databases import contents_of
from tests.helpers.images import encode
from tests.helpers.leftovers import found_in
from tests.helpers.patches import picture
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import base64_of, create, queries, zip_of

_SETS = [["red"], ["green"], ["blue"], ["red", "green"], ["red", "blue"], ["green", "blue"], [], ["red"], ["green"], ["blue"]]

Sets = Sequence[Sequence[str]]


_IMAGES = [picture(labels, seed) for seed, labels in enumerate(_SETS)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("several") / "data"


@pytest.fixture(scope="module")
def api(data_dir: Path, small_flags: tuple[str, ...]) -> Iterator[httpx.Client]:
    with ServerProcess(data_dir, *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        yield api


def body(sets: Sets = _SETS, images: Sequence[bytes] = _IMAGES, **fields: Any) -> dict[str, Any]:
    examples = [{"labels": list(labels), "image": base64_of(image)} for labels, image in zip(sets, images, strict=True)]
    return {"json": {"examples": examples, **fields}}


def made(api: httpx.Client, **request: Any) -> dict[str, Any]:
    response = api.post("/v1/tasks", **request)
    assert response.status_code == 201, response.text
    task: dict[str, Any] = response.json()
    return task


def several(api: httpx.Client) -> dict[str, Any]:
    return made(api, **body(label_mode="multiple"))


def predicted(api: httpx.Client, task: str, images: Sequence[bytes], **params: Any) -> list[dict[str, Any]]:
    response = api.post(f"/v1/tasks/{task}/predict", params=params, **queries(images))
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["predictions"]
    return found


def examples(api: httpx.Client, task: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/v1/tasks/{task}/examples").json()["examples"]
    return found


def test_every_form_makes_the_same_task(api: httpx.Client) -> None:
    archive = zip_of([(f"{label}/{i}.png", image) for i, image in enumerate(_IMAGES) for label in _SETS[i]])
    negative = [image for labels, image in zip(_SETS, _IMAGES, strict=True) if not labels]
    files = [("archive", ("a.zip", archive)), *(("negatives", ("none.png", image)) for image in negative)]
    form = [("images", (f"{i}.png", image)) for i, image in enumerate(_IMAGES)]
    tasks = [
        several(api),
        made(api, files=form, data={"labels": [json.dumps(labels) for labels in _SETS], "label_mode": "multiple"}),
        made(api, files=files, data={"label_mode": "multiple"}),
    ]
    asked = [picture(labels, 100 + i) for i, labels in enumerate(_SETS)]
    for task in tasks:
        assert task["labels"] == "multiple"
        assert {entry["label"]: entry["examples"] for entry in task["classes"]} == {"red": 4, "green": 4, "blue": 4}
        assert task["negatives"] == 1
        assert api.get(f"/v1/tasks/{task['id']}").json()["labels"] == "multiple"
        assert sorted(map(sorted, (e["labels"] for e in examples(api, task["id"])))) == sorted(map(sorted, _SETS))
        assert {e["label"] for e in examples(api, task["id"])} == {None}
    answers = [[sorted(one["scores"].items()) for one in predicted(api, task["id"], asked)] for task in tasks]
    for other in answers[1:]:
        for of_first, of_other in zip(answers[0], other, strict=True):
            assert [name for name, _ in of_first] == [name for name, _ in of_other]
            assert [score for _, score in of_first] == pytest.approx([score for _, score in of_other], abs=1e-5)


def test_an_archive_makes_an_equal_task_again(api: httpx.Client) -> None:
    task = several(api)["id"]
    archive = api.get(f"/v1/tasks/{task}/archive").content
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        (negative,) = [members.read(name) for name in members.namelist() if name.startswith(".negatives/")]
    assert negative == _IMAGES[_SETS.index([])]
    again = made(api, files=[("archive", ("a.zip", archive))])["id"]
    assert sorted(map(sorted, (e["labels"] for e in examples(api, again)))) == sorted(map(sorted, _SETS))
    for mine, theirs in zip(predicted(api, task, _IMAGES), predicted(api, again, _IMAGES), strict=True):
        assert mine["scores"] == pytest.approx(theirs["scores"], abs=1e-4)


def test_an_archive_has_more_copies_than_a_request_has_images(api: httpx.Client) -> None:
    every = [str(label) for label in range(60)]
    task = made(api, **body([every] * 18 + [["other"]], [picture(["red"], 700 + i) for i in range(19)], label_mode="multiple"))
    archive = api.get(f"/v1/tasks/{task['id']}/archive").content
    assert len(zipfile.ZipFile(io.BytesIO(archive)).namelist()) > 1024
    again = made(api, files=[("archive", ("a.zip", archive))])
    assert sorted(map(str, again["classes"])) == sorted(map(str, task["classes"]))


def test_the_labels_of_an_image_are_found(api: httpx.Client) -> None:
    task = several(api)["id"]
    sets = [["red"], ["green", "blue"], ["red", "green"], ["blue"], []]
    found = predicted(api, task, [picture(labels, 200 + i) for i, labels in enumerate(sets)])
    assert [sorted(one["labels"]) for one in found] == [sorted(labels) for labels in sets]
    for one in found:
        scores = list(one["scores"].values())
        assert scores == sorted(scores, reverse=True)
        assert one["labels"] == [label for label, score in one["scores"].items() if score >= 0.5]
        assert (one["label"], one["probability"]) == next(iter(one["scores"].items()))
        assert one["known"] is bool(one["labels"])
        assert one["novelty"] == pytest.approx(1 - one["probability"], abs=1e-4)
        assert len(one["nearest"]) == 3
        assert all(near["label"] is None and isinstance(near["labels"], list) for near in one["nearest"])
    (alone,) = predicted(api, task, [picture(["green", "blue"], 201)], top_k=1, unknown="ignore")
    assert sorted(alone["labels"]) == ["blue", "green"]
    assert len(alone["scores"]) == 1
    assert "known" not in alone


def test_both_kinds_of_task_in_one_request(api: httpx.Client) -> None:
    one = create(api, [("red", _IMAGES[0]), ("green", _IMAGES[1]), ("blue", _IMAGES[2])])["id"]
    task = several(api)["id"]
    asked = [picture(["red", "blue"], 300), b"no image", picture([], 301)]
    for unknown in ("judge", "ignore"):
        params: dict[str, Any] = {"tasks": f"{one},{task}", "top_k": 2, "unknown": unknown}
        response = api.post("/v1/predict", params=params, **queries(asked))
        assert response.status_code == 200, response.text
        of_one, of_several = (result["predictions"] for result in response.json()["results"])
        for many, expected in zip(of_several, predicted(api, task, asked, top_k=2, unknown=unknown), strict=True):
            assert many.keys() == expected.keys()
            for name in many.keys() - {"probability", "scores", "novelty", "nearest"}:
                assert many[name] == expected[name]
            if "error" not in many:
                assert many["scores"] == pytest.approx(expected["scores"], abs=1e-5)
        assert sorted(of_several[0]["labels"]) == ["blue", "red"]
        assert "labels" not in of_one[0]
        assert sum(predicted(api, one, [asked[0]])[0]["scores"].values()) == pytest.approx(1)


def test_examples_are_added_relabelled_removed_and_rolled_back(api: httpx.Client) -> None:
    task = several(api)["id"]
    added = api.post(f"/v1/tasks/{task}/examples", **body([["dotted", "red"]], [picture(["red"], 400)]))
    assert added.status_code == 201, added.text
    assert {entry["label"]: entry["examples"] for entry in added.json()["classes"]} == {
        "red": 5,
        "green": 4,
        "blue": 4,
        "dotted": 1,
    }
    example = examples(api, task)[-1]
    assert example["labels"] == ["dotted", "red"]
    same = api.patch(f"/v1/tasks/{task}/examples/{example['id']}", json={"labels": [" red ", "dotted", "red"]}).json()
    assert same["version"] == added.json()["version"]
    changed = api.patch(f"/v1/tasks/{task}/examples/{example['id']}", json={"labels": []})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["negatives"], len(changed.json()["classes"])) == (2, 3)
    (copy,) = [e for e in examples(api, task) if e["id"].startswith(example["id"])]
    assert copy["labels"] == []
    only = api.get(f"/v1/tasks/{task}/examples", params={"negatives": "true"}).json()["examples"]
    assert [e["labels"] for e in only] == [[], []]
    removed = api.delete(f"/v1/tasks/{task}/examples/{copy['id']}").json()
    assert removed["negatives"] == 1
    back = api.patch(f"/v1/tasks/{task}", json={"active_version": 2}).json()
    assert (back["version"], back["labels"]) == (2, "multiple")
    assert predicted(api, task, [picture(["red"], 401)])[0]["scores"].keys() == {"red", "green", "blue", "dotted"}


def test_the_order_of_labels_does_not_matter_for_what_is_one_thing(api: httpx.Client) -> None:
    shots = [picture(labels, 800 + i) for i, labels in enumerate(_SETS)]
    pixels = [np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")) for shot in shots]
    again = [encode(np.minimum(each, 254) + np.uint8(1)) for each in pixels]
    groups = [
        made(api, **body([*_SETS, *turned], [*shots, *again], label_mode="multiple"))["quality"]["groups"]
        for turned in (_SETS, [labels[::-1] for labels in _SETS])
    ]
    assert groups[0] == groups[1] <= len(_SETS)


def test_the_rare_label_of_one_image_is_found(api: httpx.Client) -> None:
    sets = [["green"], ["blue"], ["green", "blue"], []] * 6
    images = [picture(labels, 500 + i) for i, labels in enumerate(sets)]
    task = made(api, **body([*sets, ["red"]], [*images, picture(["red"], 550)], label_mode="multiple"))
    assert "red" in predicted(api, task["id"], [picture(["red"], 551)])[0]["labels"]
    (of_red,) = [entry for entry in task["quality"]["classes"] if entry["label"] == "red"]
    assert (of_red["judged"], of_red["accuracy"]) == (0, None)
    assert task["quality"]["judged"] == len(sets)  # all but the image of red
    assert of_red["false_positive_rate"] < 0.5
    assert "'red'" in task["quality"]["advice"]


@pytest.mark.parametrize(
    ("sets", "code", "told"),
    [
        ([["red"], ["red", "blue"]], "too_few_classes", "'red'"),
        ([[], []], "too_few_classes", "at least one label"),
        ([["red"], [" "]], "invalid_label", "empty"),
        ([["red"], [str(i) for i in range(65)]], "limit_exceeded", "labels of an image"),
    ],
)
def test_labels_that_no_task_can_learn(api: httpx.Client, sets: Sets, code: str, told: str) -> None:
    refused = api.post("/v1/tasks", **body(sets, _IMAGES[:2], label_mode="multiple"))
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert told in refused.json()["detail"]


def test_one_label_is_enough(api: httpx.Client) -> None:
    task = made(
        api, **body([["red"], ["red"], [], []], [picture(["red"] * (i < 2), 600 + i) for i in range(4)], label_mode="multiple")
    )
    found = predicted(api, task["id"], [picture(["red"], 610), picture(["blue"], 611)])
    assert [one["labels"] for one in found] == [["red"], []]
    example = examples(api, task["id"])[0]["id"]
    assert api.delete(f"/v1/tasks/{task['id']}/examples/{example}").status_code == 200
    last = api.delete(f"/v1/tasks/{task['id']}/examples/{examples(api, task['id'])[0]['id']}")
    assert (last.status_code, last.json()["code"]) == (422, "too_few_classes")


def test_each_kind_of_task_refuses_the_labels_of_the_other(api: httpx.Client) -> None:
    task, one = several(api)["id"], create(api, [("red", _IMAGES[0]), ("green", _IMAGES[1])])["id"]
    single: dict[str, Any] = {"json": {"examples": [{"label": "red", "image": base64_of(_IMAGES[0])}]}}
    for path, wrong in ((task, single), (one, body(_SETS[:1], _IMAGES[:1]))):
        refused = api.post(f"/v1/tasks/{path}/examples", **wrong)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        example = examples(api, path)[0]["id"]
        patch = {"label": "red"} if path == task else {"labels": ["red"]}
        refused = api.patch(f"/v1/tasks/{path}/examples/{example}", json=patch)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    for request in (
        body(),
        {"json": {**single["json"], "label_mode": "multiple"}},
        {"json": {**single["json"], "label_mode": "2"}},
    ):
        refused = api.post("/v1/tasks", **request)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    files = [("images", ("a.png", _IMAGES[0]))]
    refused = api.post(f"/v1/tasks/{task}/examples", files=files, data={"labels": "red"})
    assert '["cat", "outdoors"]' in refused.json()["detail"]
    both = {"labels": ["red"], "label": "red", "image": base64_of(_IMAGES[0])}
    assert api.post(f"/v1/tasks/{task}/examples", json={"examples": [both]}).status_code == 422


def test_what_such_tasks_do_without(api: httpx.Client) -> None:
    task = several(api)["id"]
    refusals = [
        api.post(f"/v1/tasks/{task}/compare"),
        api.post(f"/v1/tasks/{task}/predict", params={"coverage": "0.9"}, **queries(_IMAGES[:1])),
        api.post(f"/v1/tasks/{task}/predict", params={"mode": "transductive"}, **queries(_IMAGES[:1])),
        api.post("/v1/tasks", **body(label_mode="multiple", options={"solver": "logistic"})),
        api.post("/v1/tasks", **body(label_mode="multiple", options={"temperature": 0.5})),
    ]
    assert {(refused.status_code, refused.json()["code"]) for refused in refusals} == {(422, "not_for_several_labels")}
    head = made(api, **body(label_mode="multiple", options={"C": 0.5, "centre": True}))["head"]
    assert head == {"solver": "ridge", "C": 0.5, "temperature": 1.0, "centre": True}


def test_quality_judges_each_label_by_heads_that_have_not_seen_the_image(api: httpx.Client) -> None:
    sets = [["red"], ["green"], ["blue"], ["red", "green"], ["red", "blue"], []] * 4
    images = [picture(labels, 700 + i) for i, labels in enumerate(sets)]
    sets[3] = ["red"]  # It is green too.
    task = made(api, **body(sets, images, label_mode="multiple"))["id"]
    quality = api.get(f"/v1/tasks/{task}/quality").json()
    assert (quality["method"], quality["confusions"], quality["prior"]) == ("leave-one-out", [], None)
    assert {entry["label"]: entry["examples"] for entry in quality["classes"]} == {"red": 12, "green": 7, "blue": 8}
    assert quality["judged"] == len(sets)
    assert quality["interval"][0] < quality["accuracy"] <= quality["interval"][1]
    assert quality["accuracy"] > 0.8
    for entry in quality["classes"]:
        assert entry["accuracy"] > 0.7
        assert entry["false_positive_rate"] < 0.3
    (suspect,) = quality["suspects"]
    assert (suspect["labels"], suspect["suggested_labels"]) == (["red"], ["red", "green"])
    assert suspect["example"] == examples(api, task)[3]["id"]
    assert api.patch(f"/v1/tasks/{task}/examples/{suspect['example']}", json={"labels": suspect["suggested_labels"]}).is_success
    versions = api.get(f"/v1/tasks/{task}/versions").json()["versions"]
    assert versions[0]["accuracy"] > versions[1]["accuracy"] == pytest.approx(quality["accuracy"])


def test_captures_are_reviewed_and_decided_about(api: httpx.Client) -> None:
    task = made(api, **body(label_mode="multiple", capture={"keep": "uncertain"}))["id"]
    sent = [picture(["red", "green"], 800, rough=60), picture([], 801, rough=60)]  # no copies of examples
    remembered = api.post(f"/v1/tasks/{task}/predict", params={"remember": "true"}, **queries(sent)).json()["predictions"]
    page = api.get(f"/v1/tasks/{task}/captures").json()
    by_id = {entry["id"]: entry for entry in page["captures"]}
    assert {id_ for entry in page["captures"] for id_ in (entry["id"], *entry["alike"])} == {
        one["prediction"] for one in remembered
    }
    for one in (each for each in remembered if each["prediction"] in by_id):
        entry = by_id[one["prediction"]]
        assert entry["labels"] == one["labels"]
        assert sorted(entry["answered"]["labels"]) == sorted(one["labels"])
        assert (entry["known"], entry["novelty"]) == (one["known"], one["novelty"])
    for order in ("newest", "unknown"):
        assert api.get(f"/v1/tasks/{task}/captures", params={"order": order}).json()["captures"]
    first, second = (one["prediction"] for one in remembered)
    wrong = api.post(f"/v1/tasks/{task}/captures/resolve", json={"decisions": [{"captures": [first], "label": "red"}]})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
    decisions = [{"captures": [first], "labels": ["red", "striped"]}]
    resolved = api.post(f"/v1/tasks/{task}/captures/resolve", json={"decisions": decisions})
    assert resolved.status_code == 201, resolved.text
    assert {"label": "striped", "examples": 1} in resolved.json()["classes"]
    corrected = api.post(f"/v1/tasks/{task}/corrections", json={"prediction": second, "labels": []})
    assert corrected.status_code == 201, corrected.text
    assert corrected.json()["negatives"] == 2
    assert [e["labels"] for e in examples(api, task)][-2:] == [["red", "striped"], []]


def test_a_retry_gets_the_same_task(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": "several"}
    first = api.post("/v1/tasks", headers=headers, **body(label_mode="multiple"))
    again = api.post("/v1/tasks", headers=headers, **body(label_mode="multiple"))
    assert again.json() == {**first.json(), "timing_ms": again.json()["timing_ms"]}
    assert again.headers["Idempotent-Replayed"] == "true"
    other = api.post("/v1/tasks", headers=headers, **body([["blue"], *_SETS[1:]], label_mode="multiple"))
    assert other.json()["code"] == "idempotency_key_reused"


_SECRET_LABEL = "an unmistakable label"


def label_in_files(folder: Path) -> bool:
    return any(_SECRET_LABEL.encode() in content for content in contents_of(folder))


def test_nothing_is_left_of_a_forgotten_example(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    secret = picture(["red"], 900)
    with ServerProcess(tmp_path / "data", *small_flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = made(api, **body([*_SETS, [_SECRET_LABEL, "red"]], [*_IMAGES, secret], label_mode="multiple"))["id"]
        example = examples(api, task)[-1]["id"]
        assert label_in_files(tmp_path)
        gone = api.delete(f"/v1/tasks/{task}/examples/{example}", params={"forget": "true"})
        assert gone.status_code == 200, gone.text
        assert len(gone.json()["classes"]) == 3
        assert not label_in_files(tmp_path)
        assert not found_in(tmp_path, [secret])


def test_a_restart_and_another_backbone(tmp_path: Path, small_bundles: Path, shipped_bundle: Path) -> None:
    bundles = tmp_path / "bundles"
    shutil.copytree(small_bundles, bundles)
    other = small_bundle(shipped_bundle, bundles, "small", "2")
    flags = ("--bundles-dir", str(bundles), "--bundle", SMALL)
    sets = [["red"], ["green"], ["blue"], ["red", "green"], ["red", "blue"], []] * 3
    images = [picture(labels, 1000 + i) for i, labels in enumerate(sets)]
    asked = [picture(["green", "blue"], 1100)]
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = made(api, **body(sets, images, label_mode="multiple"))["id"]
        before = predicted(api, task, asked)
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        assert predicted(api, task, asked) == before
        started = api.post("/v1/refreshes", json={"to": other, "tasks": "all", "max_drop": 1.0})
        assert started.status_code == 202, started.text
        assert started.json()["images"]["total"] == len(sets)
        place = started.headers["location"]
        deadline = time.monotonic() + 60
        while api.get(place).json()["state"] != "finished":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        moved = api.get(f"/v1/tasks/{task}").json()
        assert (moved["backbone"], moved["version"], moved["labels"]) == (other, 2, "multiple")
        (of_task,) = api.get(f"{place}/tasks").json()["tasks"]
        assert of_task["outcome"] == "moved"
        judged = of_task["accuracy"]
        assert (judged["judged_by"], judged["judged"]) == ("leave-one-out", len(sets))
        quality = api.get(f"/v1/tasks/{task}/quality").json()
        assert judged["after"] == pytest.approx(quality["accuracy"])
        assert sorted(predicted(api, task, asked)[0]["labels"]) == ["blue", "green"]


def test_the_accuracy_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    has, got = rng.random((2, 50, 4)) < 0.4
    assert float(jaccard(has, got).mean()) == pytest.approx(jaccard_score(has, got, average="samples", zero_division=1.0))
