"""Tasks in which an image may have any number of labels, over real HTTP: created in every form, asked, changed and forgotten."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.helpers.images import encode
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import base64_of, create, queries, zip_of

_COLOURS = {"red": (220, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 220)}
_SETS = [["red"], ["green"], ["blue"], ["red", "green"], ["red", "blue"], ["green", "blue"], [], ["red"], ["green"], ["blue"]]

Sets = Sequence[Sequence[str]]


def picture(labels: Sequence[str], seed: int) -> bytes:
    """An image with a patch of each label's colour, at the same place for each label, on noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 12, (48, 48, 3))
    for at, (label, colour) in enumerate(_COLOURS.items()):
        if label in labels:
            pixels[:, 16 * at : 16 * (at + 1)] = colour + rng.normal(0, 12, (48, 16, 3))
    return encode(np.clip(pixels, 0, 255).astype(np.uint8))


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
        params = {"tasks": f"{one},{task}", "top_k": 2, "unknown": unknown}
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
