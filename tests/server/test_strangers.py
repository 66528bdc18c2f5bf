"""`known`, `novelty`, `nearest`, and queries that help each other, over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from headstart import Client, Prediction, Predictions
from models.bundle import open_bundle
from models.engine import embed_all, open_engine
from models.heads.fitting import classes_of
from models.heads.head import features
from models.heads.transductive import share_queries
from models.images.preprocess import load_image
from models.novelty.detector import Background, fit_detector, novelty_of
from server.journeys.classify import _MOMENT
from tests.helpers.images import encode
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE, ServerProcess
from tests.helpers.uploads import as_json, create, multipart, predict
from tests.helpers.uploads import queries as many_images


@pytest.fixture(scope="module")
def three(support: Labelled) -> Labelled:
    """The support set of three of the five classes: images of the others are strangers."""
    wanted = sorted({label for label, _ in support})[:3]
    return [(label, image) for label, image in support if label in wanted]


@pytest.fixture(scope="module")
def task(server: ServerProcess, three: Labelled) -> dict[str, Any]:
    with httpx.Client(base_url=server.url, timeout=60) as api:
        return create(api, three)


def noise(count: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    return [encode(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(count)]


def test_members_are_known_and_strangers_are_not(
    api: httpx.Client, task: dict[str, Any], three: Labelled, queries: Labelled
) -> None:
    labels = {label for label, _ in three}
    found = predict(api, task["id"], [image for _, image in queries])
    members = [one for one, (label, _) in zip(found, queries, strict=True) if label in labels]
    strangers = [one for one, (label, _) in zip(found, queries, strict=True) if label not in labels]
    known_members, known_strangers = (np.mean([one["known"] for one in ones]) for ones in (members, strangers))
    assert known_members > 0.75 > known_strangers + 0.2
    assert not any(one["known"] for one in predict(api, task["id"], noise(5)))
    for one in found:
        assert one["known"] == (one["novelty"] <= 0.5)
        assert one["label"] in labels, "a stranger still gets the likest label"


def test_the_nearest_examples_have_an_address_where_their_images_are(
    api: httpx.Client, task: dict[str, Any], three: Labelled
) -> None:
    examples = api.get(f"/v1/tasks/{task['id']}/examples").json()["examples"]
    label_of = {example["id"]: example["label"] for example in examples}
    for label, image in three[::4]:
        (one,) = predict(api, task["id"], [image])
        first, *others = one["nearest"]
        assert len(others) == 2
        assert (first["label"], first["similarity"]) == (label, 1.0)
        assert api.get(first["image"]).content == image
        assert [neighbour["similarity"] for neighbour in one["nearest"]] == sorted(
            (neighbour["similarity"] for neighbour in one["nearest"]), reverse=True
        )
        assert all(label_of[neighbour["example"]] == neighbour["label"] for neighbour in one["nearest"])


def test_the_verdict_can_be_turned_off(api: httpx.Client, task: dict[str, Any], queries: Labelled) -> None:
    path, image = f"/v1/tasks/{task['id']}/predict", queries[0][1]
    judged, plain = (
        api.post(path, content=image, params=params, headers={"Content-Type": "image/png"}).json()["predictions"][0]
        for params in ({}, {"unknown": "ignore"})
    )
    assert plain == {name: judged[name] for name in ("label", "probability", "scores")}
    assert api.post(path, content=image, params={"unknown": "maybe"}).json()["code"] == "invalid_request"


def test_a_broken_image_among_others_disturbs_no_verdict(api: httpx.Client, task: dict[str, Any], queries: Labelled) -> None:
    images = [image for _, image in queries[:3]]
    broken = predict(api, task["id"], [images[0], b"no image", *images[1:]])
    assert broken[1]["error"]["code"] == "image_unsupported"
    for alone, one in zip(predict(api, task["id"], images), [broken[0], *broken[2:]], strict=True):
        assert one["novelty"] == pytest.approx(alone["novelty"], abs=1e-3)
        assert [neighbour["example"] for neighbour in one["nearest"]] == [n["example"] for n in alone["nearest"]]


def test_a_task_of_two_images_has_two_neighbours(api: httpx.Client, support: Labelled, queries: Labelled) -> None:
    small = create(api, [support[0], support[-1]])
    (one,) = predict(api, small["id"], [queries[0][1]])
    assert len(one["nearest"]) == 2


def test_the_verdict_follows_the_support_set_and_what_is_forgotten_is_nobodys_neighbour(
    api: httpx.Client, three: Labelled, support: Labelled
) -> None:
    own = create(api, three)["id"]
    stranger = next(image for label, image in support if label not in {label for label, _ in three})
    before = predict(api, own, [stranger])[0]
    api.post(f"/v1/tasks/{own}/examples", **multipart([("new", stranger)])).raise_for_status()
    after = predict(api, own, [stranger])[0]
    assert (after["nearest"][0]["similarity"], after["nearest"][0]["label"], after["known"]) == (1.0, "new", True)
    assert after["novelty"] < before["novelty"]
    example = after["nearest"][0]["example"]
    api.delete(f"/v1/tasks/{own}/examples/{example}", params={"forget": True}).raise_for_status()
    assert predict(api, own, [stranger])[0] == before


def test_where_images_are_not_kept_neighbours_have_no_address(
    tmp_path: Path, small_flags: tuple[str, ...], three: Labelled, queries: Labelled
) -> None:
    with (
        ServerProcess(tmp_path / "data", *small_flags, "--keep-images=false") as server,
        httpx.Client(base_url=server.url, timeout=60) as api,
    ):
        (one,) = predict(api, create(api, three)["id"], [queries[0][1]])
    assert [neighbour["image"] for neighbour in one["nearest"]] == [None] * 3


def test_verdicts_and_shared_answers_are_those_of_the_models(
    tmp_path: Path, shipped_bundle: Path, three: Labelled, queries: Labelled
) -> None:
    """After a restart too: what is served is what is measured."""
    images = [image for _, image in queries[:20]]
    few = [example for i, example in enumerate(three) if i % 5 < 2]  # From five of a class on, images do not help each other.
    flags = ("--engine", FAST_ENGINE)
    with ServerProcess(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        own = create(api, few)["id"]
    with ServerProcess(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        response = api.post(f"/v1/tasks/{own}/predict", params={"mode": "transductive"}, **many_images(images))
        together, alone = response.json()["predictions"], predict(api, own, images)

    bundle = open_bundle(shipped_bundle)
    engine, spec = open_engine(bundle, FAST_ENGINE), bundle.manifest.input
    support, query = (
        embed_all(engine, np.stack([load_image(image, spec) for image in each])) for each in ([i for _, i in few], images)
    )
    names, classes = classes_of([label for label, _ in few])
    background = Background.of(bundle.background, bundle.feature_mean)
    detector = fit_detector(support, classes, background)
    novelty = novelty_of(detector.familiarity(query, background), detector.threshold)
    np.testing.assert_allclose([one["novelty"] for one in alone], novelty, atol=0.01)
    heads = np.array([[one["scores"][name] for name in names] for one in alone])
    expected = share_queries(
        heads, features(support, bundle.feature_mean), classes, features(query, bundle.feature_mean), 1.0 - novelty
    )
    np.testing.assert_allclose([[one["scores"][name] for name in names] for one in together], expected, atol=0.01)
    assert np.abs(expected - heads).max() > 0.05
    assert [one["novelty"] for one in together] == [one["novelty"] for one in alone]


def test_one_image_is_judged_alone_whatever_the_mode(api: httpx.Client, task: dict[str, Any], queries: Labelled) -> None:
    path, image = f"/v1/tasks/{task['id']}/predict", many_images([queries[0][1]])
    alone, together, plain = (
        api.post(path, params=params, **image).json()["predictions"][0]
        for params in ({}, {"mode": "transductive"}, {"mode": "transductive", "unknown": "ignore"})
    )
    assert together["scores"] == pytest.approx(alone["scores"], abs=1e-6)
    assert plain.keys() == {"label", "probability", "scores"}
    assert api.post(path, params={"mode": "transductive"}, **image).json()["mode"] == "inductive"
    assert api.post(path, params={"mode": "both"}, **image).json()["code"] == "invalid_request"


def test_queries_of_one_request_help_each_other(api: httpx.Client, support: Labelled, queries: Labelled) -> None:
    one_of_each = list({label: (label, image) for label, image in support}.values())
    small = api.post("/v1/tasks", **as_json(one_of_each)).json()["id"]
    path, truth = f"/v1/tasks/{small}/predict", [label for label, _ in queries]

    def right(mode: str) -> int:
        body = api.post(path, params={"mode": mode}, **many_images([image for _, image in queries])).json()
        assert body["mode"] == mode
        return sum(one["label"] == label for one, label in zip(body["predictions"], truth, strict=True))

    assert right("transductive") >= right("inductive")


def test_from_five_examples_a_class_on_each_image_is_judged_alone_and_the_answer_says_so(
    api: httpx.Client, support: Labelled, queries: Labelled
) -> None:
    path, images = f"/v1/tasks/{create(api, support)['id']}/predict", many_images([image for _, image in queries])
    alone, together = (api.post(path, params={"mode": mode}, **images).json() for mode in ("inductive", "transductive"))
    assert together["mode"] == alone["mode"] == "inductive"
    assert [one["scores"] for one in together["predictions"]] == [one["scores"] for one in alone["predictions"]]


def test_many_tasks_tell_strangers_if_asked(
    api: httpx.Client, task: dict[str, Any], support: Labelled, queries: Labelled
) -> None:
    other = create(api, support)["id"]
    images = [queries[0][1], b"no image", queries[-1][1]]
    params: dict[str, str | int] = {"tasks": f"{task['id']},{other}", "unknown": "judge", "top_k": 3}
    results = api.post("/v1/predict", params=params, **many_images(images)).json()["results"]
    assert [result["task"] for result in results] == [task["id"], other]
    for result in results:
        alone = api.post(f"/v1/tasks/{result['task']}/predict", params={"top_k": 3}, **many_images(images)).json()["predictions"]
        for one, expected in zip(result["predictions"], alone, strict=True):
            assert one.keys() == expected.keys()
            if "error" not in one:
                assert one["label"] == expected["label"]
                assert one["scores"] == pytest.approx(expected["scores"], abs=1e-5)
                assert one["novelty"] == pytest.approx(expected["novelty"], abs=1e-3)
                assert one["nearest"] == expected["nearest"]
    plain = api.post("/v1/predict", params={"tasks": other}, **many_images(images[:1])).json()["results"][0]["predictions"][0]
    assert plain.keys() == {"label", "probability", "scores"}


def test_the_sdk_knows_strangers(server: ServerProcess, task: dict[str, Any], queries: Labelled) -> None:
    with Client(server.url) as client:
        (found,) = client.predict(task["id"], queries[0][1]).checked()
        assert found.known is not None
        assert found.novelty is not None
        assert client.example_image(task["id"], found.nearest[0].example)
        (plain,) = client.predict(task["id"], queries[0][1], unknown="ignore", mode="transductive").checked()
        assert plain == Prediction(plain.label, plain.probability, plain.scores)
        (many,) = client.predict_many(task["id"], queries[0][1], unknown="judge", top_k=3)
        assert isinstance(many, Predictions)
        assert many.checked()[0].nearest == found.nearest


def test_a_search_too_long_for_the_batch_finds_the_same(tmp_path: Path, small_flags: tuple[str, ...]) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (768, 4, 4, 3), dtype=np.uint8)
    images = [encode(one) for one in colours]
    examples = [("even" if position % 2 else "odd", image) for position, image in enumerate(images[:512])]
    with ServerProcess(tmp_path, *small_flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        created = api.post("/v1/tasks", **as_json(examples))
        assert created.status_code == 201, created.text
        task = created.json()["id"]
        assert _MOMENT < (2 + 512) * 256
        together, alone = predict(api, task, images[512:]), predict(api, task, images[512:520])
    for one, other in zip(together, alone, strict=False):
        assert one["known"] == other["known"]
        assert one["novelty"] == pytest.approx(other["novelty"], abs=1e-4)
        assert [near["example"] for near in one["nearest"]] == [near["example"] for near in other["nearest"]]
