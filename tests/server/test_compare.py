"""Solvers, options and backbones side by side, over real HTTP: beside scikit-learn's figures, and a database left as it was."""

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import NearestCentroid
from sqlalchemy import select

from headstart import BackboneNotFound, Client, InvalidInput, TaskNotFound, Untried
from headstart import Trial as Tried
from headstart.__main__ import main
from models.arrays import Floats, Ints
from models.bundle import open_bundle
from models.engine import embed_all, open_engine
from models.images.preprocess import load_image
from models.manifest import HeadOptions
from server.journeys.intervals import left_out_accuracy, paired_difference
from server.schemas.comparison import ComparisonReply
from server.store.tables import metadata
from tests.helpers.bundles import another_bundle, small_bundle, spoil
from tests.helpers.databases import statements_in
from tests.helpers.heads import left_out_by_scikit_learn
from tests.helpers.problems import assert_problem
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE, ServerProcess
from tests.helpers.uploads import create, mislabelled, multipart


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def small(shipped_bundle: Path, folder: Path) -> str:
    """The id of a bundle that recognises other images than the shipped one."""
    return small_bundle(shipped_bundle, folder, "small", int8=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path, shipped: str) -> Iterator[ServerProcess]:
    data_dir = tmp_path_factory.mktemp("server") / "data"
    flags = ("--engine", FAST_ENGINE, "--bundles-dir", str(folder), "--bundle", shipped, "--open-bundles", "10")
    with ServerProcess(data_dir, *flags) as process:
        yield process
        assert process.stop() == 0, process.log()
        assert "Traceback" not in process.log()


@pytest.fixture(scope="module")
def examples(support: Labelled, queries: Labelled) -> Labelled:
    """75, a sixth of them under a wrong label, so that there is something to be better at."""
    return mislabelled(support + queries, 6)


@pytest.fixture(scope="module")
def task(server: ServerProcess, examples: Labelled) -> str:
    with httpx.Client(base_url=server.url, timeout=60) as api:
        id_: str = create(api, examples)["id"]
        return id_


def post(api: httpx.Client, task: str, *candidates: dict[str, Any]) -> httpx.Response:
    return api.post(f"/v1/tasks/{task}/compare", json={"candidates": candidates} if candidates else None)


def ask(api: httpx.Client, task: str, *candidates: dict[str, Any]) -> dict[str, Any]:
    response = post(api, task, *candidates)
    assert response.status_code == 200, response.text
    ComparisonReply.model_validate_json(response.content, strict=True)
    reply: dict[str, Any] = response.json()
    current, *others = reply["candidates"]
    assert current["current"]
    assert not any(other.get("current") for other in others)
    return reply


def kinds(reply: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [(each["backbone"], each["head"]["solver"], each["head"]["C"]) for each in reply["candidates"]]


class Eye:
    """A bundle's backbone on the engine that serves it, without a server."""

    def __init__(self, bundle: Path, api: httpx.Client) -> None:
        opened = open_bundle(bundle)
        (kind, *_) = api.get(f"/v1/backbones/{opened.id}").json()["engines"]
        self._engine, self._input = open_engine(opened, kind), opened.manifest.input

    def features(self, examples: Labelled, centre: bool) -> Floats:
        pixels = np.stack([load_image(image, self._input) for _, image in examples])
        features: Floats = self._engine.space.features(embed_all(self._engine, pixels), centre).astype(np.float64)
        return features


def indices(examples: Labelled) -> Ints:
    names = list(dict.fromkeys(label for label, _ in examples))
    return np.array([names.index(label) for label, _ in examples])


def left_out(x: Floats, y: Ints, head: HeadOptions) -> Floats:
    """Probabilities of heads fitted by scikit-learn without each example."""
    match head.solver:
        case "logistic":
            scores = np.log(left_out_by_scikit_learn(x, y, head.C))
        case "ridge":
            scores = cross_val_predict(Ridge(alpha=1 / head.C, tol=1e-12), x, np.eye(y.max() + 1)[y], cv=LeaveOneOut())
        case "prototype":
            scores = np.empty((len(y), y.max() + 1))
            for i in range(len(y)):
                means = NearestCentroid().fit(np.delete(x, i, axis=0), np.delete(y, i)).centroids_
                scores[i] = x[i] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    probabilities: Floats = softmax(scores / head.temperature, axis=1)
    return probabilities


def assert_judged(shown: dict[str, Any], expected: Floats, current: Floats, y: Ints) -> None:
    """A candidate's figures are what these probabilities, and the active version's, come to."""
    right, before = expected.argmax(axis=1) == y, current.argmax(axis=1) == y
    assert (shown["judged"], shown["recognised"]) == (len(y), right.sum())
    assert shown["accuracy"] == right.mean()
    assert shown["interval"] == pytest.approx(left_out_accuracy(int(right.sum()), len(y), 1 - len(np.unique(y)) / len(y)))
    assert shown["log_loss"] == pytest.approx(log_loss(y, expected), rel=1e-3)
    difference = shown["difference"]
    assert (difference["gained"], difference["lost"]) == ((right & ~before).sum(), (~right & before).sum())
    assert difference["accuracy"] == pytest.approx(right.mean() - before.mean())
    table = ((right & before).sum(), difference["gained"], difference["lost"], (~right & ~before).sum())
    assert difference["interval"] == pytest.approx(paired_difference(*map(int, table)))
    assert difference["log_loss"] == pytest.approx(log_loss(y, expected) - log_loss(y, current), abs=1e-3)
    low, high = difference["log_loss_interval"]
    assert low <= difference["log_loss"] <= high


@pytest.fixture(scope="module")
def before(server: ServerProcess, shipped_bundle: Path, task: str, examples: Labelled) -> Floats:
    """The probabilities of the active version's heads, each fitted without an example."""
    with httpx.Client(base_url=server.url, timeout=60) as api:
        head = HeadOptions.model_validate(api.get(f"/v1/tasks/{task}").json()["head"])
        return left_out(Eye(shipped_bundle, api).features(examples, head.centre), indices(examples), head)


class TestFigures:
    @pytest.mark.parametrize(
        ("asked", "elsewhere"),
        [
            ({"solver": "ridge"}, False),
            ({"solver": "prototype", "centre": True}, False),
            ({"C": 30, "temperature": 2.5}, False),
            ({}, True),
            ({"solver": "ridge", "C": 0.1, "temperature": 0.5, "centre": True}, True),
        ],
        ids=str,
    )
    def test_equal_scikit_learns_on_the_same_embeddings(
        self,
        api: httpx.Client,
        shipped_bundle: Path,
        folder: Path,
        small: str,
        task: str,
        examples: Labelled,
        before: Floats,
        asked: dict[str, Any],
        elsewhere: bool,
    ) -> None:
        now, shown = ask(api, task, {"options": asked, **({"backbone": small} if elsewhere else {})})["candidates"]
        head = HeadOptions.model_validate(shown["head"])
        assert head.model_dump().items() >= asked.items()
        eye = Eye(folder.joinpath(*small.split("@")) if elsewhere else shipped_bundle, api)
        y = indices(examples)
        assert_judged(shown, left_out(eye.features(examples, head.centre), y, head), before, y)
        assert now["log_loss"] == pytest.approx(log_loss(y, before), rel=1e-3)

    def test_those_of_the_active_version_are_those_of_its_quality(self, api: httpx.Client, task: str) -> None:
        now, *_ = ask(api, task)["candidates"]
        quality = api.get(f"/v1/tasks/{task}/quality").json()
        assert {key: quality[key] for key in ("method", "judged", "accuracy", "interval")}.items() <= now.items()
        assert now["recognised"] == sum(entry["recognised"] for entry in quality["classes"])
        assert now["difference"] is None

    def test_a_temperature_changes_how_sure_it_is_and_nothing_else(self, api: httpx.Client, task: str) -> None:
        _, same, flat = ask(api, task, {}, {"options": {"temperature": 100}})["candidates"]
        assert same["difference"] == {
            "accuracy": 0,
            "gained": 0,
            "lost": 0,
            "log_loss": 0,
            "log_loss_interval": [0, 0],
            "interval": flat["difference"]["interval"],
        }
        assert flat["log_loss"] == pytest.approx(np.log(5), abs=0.05)
        assert flat["difference"]["log_loss_interval"][0] > 0
        assert flat["recognised"] == same["recognised"]

    def test_above_500_examples_are_of_folds_save_class_means(self, api: httpx.Client, support: Labelled) -> None:
        pair = support[:10]
        task = create(api, pair * 25)["id"]
        api.post(f"/v1/tasks/{task}/examples", **multipart([*pair * 25, pair[0]])).raise_for_status()
        found = ask(api, task, {"options": {"solver": "ridge"}}, {"options": {"solver": "prototype"}})["candidates"]
        assert [each["method"] for each in found] == ["20 folds", "20 folds", "leave-one-out"]
        assert [each["judged"] for each in found] == [501] * 3


class TestCandidates:
    def test_by_default_are_the_solvers_and_the_other_open_backbones(
        self, api: httpx.Client, shipped: str, small: str, support: Labelled
    ) -> None:
        opened = api.post("/v1/backbones", json={"id": small}).raise_for_status().json()["id"]
        usual = create(api, support)["id"]
        elsewhere = [
            (each["id"], "logistic", 3.0)
            for each in api.get("/v1/backbones").json()["backbones"]
            if each["open"] and each["id"] != shipped
        ]
        assert opened in {id_ for id_, _, _ in elsewhere}
        solvers = [(shipped, "logistic", 3.0), (shipped, "ridge", 1.0), (shipped, "prototype", 1.0)]
        assert kinds(ask(api, usual)) == [*solvers, *elsewhere]
        as_json = {"Content-Type": "application/json"}
        bodies: list[dict[str, Any]] = [{"json": {}}, {"json": {"candidates": None}}, {"headers": as_json}]
        for empty in bodies:
            response = api.post(f"/v1/tasks/{usual}/compare", **empty)
            assert kinds(response.json()) == [*solvers, *elsewhere]

        chosen = create(api, support, options='{"C": 10, "centre": true}')["id"]
        asked_for = [(id_, solver, 10.0) for id_, solver, _ in elsewhere]
        found = ask(api, chosen)
        assert kinds(found) == [(shipped, "logistic", 10.0), *solvers, *asked_for]
        assert [each["head"]["centre"] for each in found["candidates"]] == [True, False, False, False, *([True] * len(elsewhere))]

        try:  # A task that is not on the backbone that new tasks get is tried on that first.
            api.patch(f"/v1/backbones/{small}", json={"default": True}).raise_for_status()
            there = create(api, support)["id"]
        finally:
            api.patch(f"/v1/backbones/{shipped}", json={"default": True}).raise_for_status()
        (
            first,
            *_,
        ) = kinds(ask(api, there))
        assert first == (small, "logistic", 3.0)
        assert kinds(ask(api, there))[3] == (shipped, "logistic", 3.0)

    def test_keep_what_they_do_not_name_and_come_in_the_order_asked(
        self, api: httpx.Client, shipped: str, small: str, support: Labelled
    ) -> None:
        task = create(api, support, options='{"C": 0.5, "temperature": 1.25}')["id"]
        asked: list[dict[str, Any]] = [
            {"backbone": small, "options": {"centre": True}},
            {"options": {"C": 7}},
            {"backbone": small},
            {"backbone": shipped, "options": {"solver": "ridge"}},
            {"options": {"solver": "ridge", "temperature": 2}},
        ]
        _, *found = ask(api, task, *asked)["candidates"]
        heads = [each["head"] for each in found]
        before = {"solver": "logistic", "C": 0.5, "temperature": 1.25, "centre": False}
        assert [each["backbone"] for each in found] == [small, shipped, small, shipped, shipped]
        assert heads[:3] == [{**before, "centre": True}, {**before, "C": 7.0}, before]
        usual = create(api, support, options='{"solver": "ridge"}')["head"]
        assert heads[3:] == [usual, {**usual, "temperature": 2.0}]
        assert usual["temperature"] != 1.25

    def test_of_one_backbone_see_the_images_embedded_once(
        self, api: httpx.Client, folder: Path, shipped_bundle: Path, support: Labelled
    ) -> None:
        id_ = small_bundle(shipped_bundle, folder, "counted", int8=True)
        task = create(api, support)["id"]
        assert not api.get(f"/v1/backbones/{id_}").json()["open"]
        found = ask(api, task, *({"backbone": id_, "options": {"C": C}} for C in (1, 2, 3)))
        assert api.get(f"/v1/backbones/{id_}").json()["open"]
        assert embedded(api, id_) == len(support)
        assert found["timing_ms"].keys() == {"embed", "fit", "total"}
        assert api.delete(f"/v1/backbones/{id_}").status_code == 204

    def test_that_cannot_be_tried_have_an_error_in_their_place(
        self, api: httpx.Client, folder: Path, shipped_bundle: Path, small: str, task: str
    ) -> None:
        spoilt = small_bundle(shipped_bundle, folder, "spoilt", int8=True)
        spoil(folder, spoilt)
        unknown, broken = {"backbone": "nothing@1"}, {"backbone": spoilt}
        reply = ask(api, task, unknown, {"backbone": small}, broken, {"backbone": "nothing@1", "options": {"C": 1}})
        _, first, second, third, fourth = reply["candidates"]
        assert first == fourth == {"backbone": "nothing@1", "error": first["error"]}
        assert (first["error"]["code"], third["error"]["code"]) == ("backbone_not_found", "invalid_bundle")
        assert third["backbone"] == spoilt
        assert second["judged"] == 75
        assert ask(api, task, unknown, broken)["advice"].startswith("None of the candidates could be tried")
        assert_problem(post(api, task, unknown), 404, "backbone_not_found")
        assert_problem(post(api, task, broken), 422, "invalid_bundle")

    def test_may_be_32(self, api: httpx.Client, task: str) -> None:
        assert len(ask(api, task, *([{"options": {"solver": "prototype"}}] * 32))["candidates"]) == 33
        response = post(api, task, *([{}] * 33))
        assert_problem(response, 422, "invalid_request")
        assert "length <= 32" in response.json()["detail"]


class TestRefusals:
    def test_an_unknown_task(self, api: httpx.Client) -> None:
        assert_problem(post(api, "task_of_nobody"), 404, "task_not_found")
        assert_problem(api.post("/v1/tasks/task_of_nobody/compare", content=b"what"), 404, "task_not_found")

    @pytest.mark.parametrize(
        "body",
        [
            {"candidates": []},
            {"candidates": {}},
            {"candidates": ["ridge"]},
            {"candidates": [{"solver": "ridge"}]},
            {"candidates": [{"options": {"solver": "nearest"}}]},
            {"candidates": [{"options": {"C": 0}}]},
            {"candidates": [{"options": {"temperature": "hot"}}]},
            {"candidates": [{"backbone": 1}]},
            {"publish": True},
            [],
        ],
        ids=str,
    )
    def test_bodies_that_say_something_else(self, api: httpx.Client, task: str, body: object) -> None:
        assert_problem(api.post(f"/v1/tasks/{task}/compare", json=body), 422, "invalid_request")

    def test_bodies_that_are_no_json(self, api: httpx.Client, task: str) -> None:
        path = f"/v1/tasks/{task}/compare"
        assert_problem(api.post(path, content=b"{"), 415, "unsupported_media_type")
        headers = {"Content-Type": "application/json"}
        assert_problem(api.post(path, content=b"{", headers=headers), 422, "invalid_request")


class TestClassesOfOneExample:
    def test_are_not_judged(self, api: httpx.Client, support: Labelled) -> None:
        task = create(api, support[:21])["id"]  # 5 of each class, and one windmill
        assert {each["judged"] for each in ask(api, task)["candidates"]} == {20}

    def test_alone_leave_nothing_to_compare(self, api: httpx.Client, small: str, support: Labelled) -> None:
        task = create(api, support[::5])["id"]
        reply = ask(api, task, {"options": {"solver": "ridge"}}, {"backbone": small})
        assert reply["advice"].startswith("Nothing can be compared, since each example is alone in its class")
        for each in reply["candidates"]:
            assert (each["judged"], each["recognised"]) == (0, 0)
            assert [each[key] for key in ("accuracy", "interval", "log_loss", "difference")] == [None] * 4


def test_the_advice_is_of_the_figures_beside_it(api: httpx.Client, task: str) -> None:
    reply = ask(api, task, {"options": {"C": 100}}, {"options": {"solver": "prototype"}}, {"options": {"temperature": 9}})
    now, *others = reply["candidates"]
    best = min(range(3), key=lambda i: (-others[i]["recognised"], others[i]["log_loss"]))
    assert others[best]["recognised"] > now["recognised"], "class means bear wrong labels better"
    assert reply["best"] == best + 1
    assert reply["advice"].startswith(f"Candidate {best + 1} ({others[best]['head']['solver']}, ")


class TestClients:
    def test_the_sdk_tells_what_the_api_tells(self, server: ServerProcess, api: httpx.Client, small: str, task: str) -> None:
        with Client(server.url) as client:
            usual = client.compare(task)
            assert without_times(usual.raw) == without_times(ask(api, task))
            assert (usual.task, usual.version, usual.advice) == (task, 1, usual.raw["advice"])
            found = client.compare(
                task,
                [{"backbone": small}, {"options": {"solver": "prototype"}}, {"backbone": "nothing@1"}, {"options": {"C": 9.0}}],
            )
            with pytest.raises(BackboneNotFound):
                client.compare(task, [{"backbone": "nothing@1"}])
            with pytest.raises(TaskNotFound):
                client.compare("task_of_nobody")
            with pytest.raises(InvalidInput):
                client.compare(task, [])
        elsewhere, means, untried, followed = found.candidates
        assert untried == Untried("nothing@1", "backbone_not_found", "there is no backbone 'nothing@1' on this server")
        assert isinstance(elsewhere, Tried)
        assert isinstance(means, Tried)
        assert isinstance(followed, Tried)
        assert (elsewhere.backbone, means.head.solver, followed.head.C) == (small, "prototype", 9.0)
        assert found.current.difference is None
        difference = elsewhere.difference
        assert difference is not None
        assert difference.gained - difference.lost == elsewhere.recognised - found.current.recognised
        assert difference.interval[0] <= difference.accuracy <= difference.interval[1] < 0
        assert found.best == max([found.current, elsewhere, means, followed], key=lambda each: each.recognised)

    def test_the_command_tries_every_combination(
        self, server: ServerProcess, small: str, shipped: str, task: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def run(*arguments: str) -> tuple[int, str, str]:
            return main(["--url", server.url, "compare", task, *arguments]), *capsys.readouterr()

        flags = (
            "--backbone",
            small,
            "--backbone",
            shipped,
            "--solver",
            "prototype",
            "--C",
            "1",
            "--C",
            "2",
            "--temperature",
            "3",
        )
        code, out, _ = run(*flags, "--json")
        found = json.loads(out)
        assert code == 0
        assert kinds(found)[1:] == [(id_, "prototype", C) for id_ in (small, shipped) for C in (1.0, 2.0)]
        assert {each["head"]["temperature"] for each in found["candidates"][1:]} == {3.0}

        code, out, _ = run(*flags)
        assert code == 0
        assert out.startswith("Version 1 and the candidates, on 75 examples by leave-one-out:")
        assert found["advice"] in out
        (best,) = re.findall(r"^ *(active|\d+), best +", out, re.MULTILINE)
        assert best == ("active" if found["best"] == 0 else str(found["best"]))
        now, first = found["candidates"][:2]
        row = (
            rf"active(, best)? +{shipped} +logistic +3 +0\.\d+ +{now['recognised']} {now['accuracy']:.1%} +{now['log_loss']:.3f}"
        )
        assert re.search(row, out)
        beside = first["difference"]
        change = f"{beside['accuracy']:+.1%} ({beside['interval'][0]:+.1%} to {beside['interval'][1]:+.1%})"
        row = rf"1 +{small} +prototype +1 +3 +{first['recognised']} {first['accuracy']:.1%} +{re.escape(change)} "
        assert re.search(row, out)

        _, usual, _ = run("--json")
        assert without_times(json.loads(usual)) == without_times(httpx.post(f"{server.url}/v1/tasks/{task}/compare").json())

        code, out, err = run("--backbone", "nothing@1", "--backbone", small)
        assert (code, "cannot be tried" in out) == (1, True)
        assert "candidate 1: there is no backbone 'nothing@1' on this server (backbone_not_found)" in err
        code, out, err = run("--backbone", "nothing@1")
        assert (code, out, "`headstart backbones` shows" in err) == (1, "", True)
        assert run("--solver", "nearest")[0] == 1


def without_times(reply: Mapping[str, Any]) -> dict[str, Any]:
    candidates = [{key: value for key, value in each.items() if key != "milliseconds"} for each in reply["candidates"]]
    return {**reply, "candidates": candidates, "timing_ms": None}


def contents(data_dir: Path) -> tuple[list[str], set[str]]:
    """Every row of a stopped server's database but those of the audit, and the names of the files beside it."""
    kept = [table for name, table in metadata.tables.items() if name != "audit"]
    with statements_in(data_dir) as connection:
        rows = [str(row) for table in kept for row in connection.execute(select(table).order_by(*table.primary_key))]
    return rows, {path.name for path in data_dir.rglob("*") if path.suffix != ".json"}


def test_nothing_is_stored_or_published(tmp_path: Path, shipped_bundle: Path, examples: Labelled) -> None:
    own, other = small_bundle(shipped_bundle, tmp_path, "own"), small_bundle(shipped_bundle, tmp_path, "other", brittle=True)
    flags = ("--bundles-dir", str(tmp_path), "--bundle", own)
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create(api, examples)
        assert process.stop() == 0
    before = contents(tmp_path / "data")
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        ask(api, task["id"], {"backbone": other, "options": {"solver": "ridge", "C": 9}}, {"options": {"centre": True}})
        ask(api, task["id"])
        (version,) = api.get(f"/v1/tasks/{task['id']}/versions").json()["versions"]
        assert (version["head"], version["backbone"]) == (task["head"], own)
        assert process.stop() == 0
    assert contents(tmp_path / "data") == before
    assert any(task["id"] in line for line in before[0]), "nothing would be little to compare"


def test_images_that_were_not_kept_cannot_be_shown_to_another_backbone(
    tmp_path: Path, shipped_bundle: Path, support: Labelled
) -> None:
    own, other = small_bundle(shipped_bundle, tmp_path, "own"), small_bundle(shipped_bundle, tmp_path, "other", brittle=True)
    flags = ("--bundles-dir", str(tmp_path), "--bundle", own, "--keep-images=false")
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create(api, support)["id"]
        _, elsewhere, here = ask(api, task, {"backbone": other}, {"options": {"solver": "ridge"}})["candidates"]
        assert elsewhere["error"]["code"] == "image_not_kept"
        assert here["judged"] == 25
        assert_problem(post(api, task, {"backbone": other}), 404, "image_not_kept")
        assert ask(api, task, {"backbone": own})["candidates"][1]["judged"] == 25, "its embeddings are there"


def test_images_that_cannot_be_read_any_more_are_named(tmp_path: Path, shipped_bundle: Path, support: Labelled) -> None:
    own, other = small_bundle(shipped_bundle, tmp_path, "own"), small_bundle(shipped_bundle, tmp_path, "other", brittle=True)
    flags = ("--bundles-dir", str(tmp_path), "--bundle", own)
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create(api, support)["id"]
        first = api.get(f"/v1/tasks/{task}/examples").json()["examples"][0]["id"]
    lower = (*flags, "--max-image-pixels", "100")
    with ServerProcess(tmp_path / "data", *lower) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        _, elsewhere, _ = ask(api, task, {"backbone": other}, {})["candidates"]
        assert elsewhere["error"]["code"] == "image_too_large"
        assert first in elsewhere["error"]["detail"]
        assert_problem(post(api, task, {"backbone": other}), 413, "image_too_large")


def embedded(api: httpx.Client, id_: str) -> int:
    """How many images a backbone has embedded since it was opened."""
    for line in api.get("/metrics").text.splitlines():
        if line.startswith(f'headstart_batch_images_sum{{backbone="{id_}"}}'):
            return int(float(line.split()[-1]))
    return 0


class TestMeanwhile:
    """What happens while another backbone embeds 500 images, which takes seconds."""

    @pytest.fixture
    def large(self, api: httpx.Client, support: Labelled) -> str:
        id_: str = create(api, support * 10, options='{"solver": "prototype"}')["id"]  # of which judging takes no time
        api.post(f"/v1/tasks/{id_}/examples", **multipart(support * 10)).raise_for_status()
        return id_

    @staticmethod
    def wait_until_embedding(api: httpx.Client, id_: str) -> None:
        deadline = time.monotonic() + 60
        while not embedded(api, id_):
            assert time.monotonic() < deadline, "nothing was ever embedded"

    def test_a_client_that_leaves_ends_the_work(
        self, server: ServerProcess, api: httpx.Client, folder: Path, shipped_bundle: Path, large: str
    ) -> None:
        id_ = another_bundle(shipped_bundle, folder, "left")
        host, port = server.url.removeprefix("http://").split(":")
        body = json.dumps({"candidates": [{"backbone": id_}]})
        head = f"POST /v1/tasks/{large}/compare HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as leaving:
            leaving.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            self.wait_until_embedding(api, id_)
        assert api.delete(f"/v1/backbones/{id_}").status_code == 204, "nothing is under way on it any more"
        assert embedded(api, id_) < 500

    def test_an_example_that_is_forgotten_is_a_conflict(
        self, server: ServerProcess, api: httpx.Client, folder: Path, shipped_bundle: Path, large: str
    ) -> None:
        id_ = another_bundle(shipped_bundle, folder, "forgotten")
        ids = api.get(f"/v1/tasks/{large}/examples", params={"limit": 1000}).json()["examples"]
        with httpx.Client(base_url=server.url, timeout=60) as other, ThreadPoolExecutor(1) as pool:
            asking = pool.submit(post, other, large, {"backbone": id_})
            self.wait_until_embedding(api, id_)
            api.delete(f"/v1/tasks/{large}/examples/{ids[-1]['id']}", params={"forget": True}).raise_for_status()
            assert_problem(asking.result(), 409, "conflict")
