"""Tasks that are moved onto another bundle, and back, over real HTTP: none is lost, none moved twice, none answers wrongly."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from benchmarks.bundles import copy_bundle
from headstart import BackboneNotFound, Client, RefreshNotFound, TaskNotFound, WrongRefreshState
from headstart.__main__ import main
from server.store.tables import refresh_tasks
from tests.helpers.bundles import SMALL, small_bundle, spoil
from tests.helpers.databases import statements_in
from tests.helpers.images import encode, noise
from tests.helpers.refreshes import begin, change, ended, look, moved, rolled_back, rows, until, versions
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE, ServerProcess
from tests.helpers.uploads import answers, create, multipart, predict

QUICK = ("--engine", FAST_ENGINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Path:
    """Bundles beside the shipped one."""
    folder = tmp_path_factory.mktemp("bundles")
    small_bundle(shipped_bundle, folder, "small", int8=True)
    small_bundle(shipped_bundle, folder, "small", "2", int8=True)
    copy_bundle(shipped_bundle, folder, "copy")
    copy_bundle(shipped_bundle, folder, "set-otherwise")
    rewrite(folder / "set-otherwise" / "1", set_otherwise)
    return folder


def rewrite(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes a bundle's manifest."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def set_otherwise(manifest: dict[str, Any]) -> None:
    """Gives its heads other options."""
    for solver, law in manifest["head"]["temperatures"].items():
        law["intercept"] += 0.5
        manifest["head"][solver] |= {"C": 2.0, "centre": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[ServerProcess]:
    """New tasks are on the small bundle. It recognises 56 % of the samples left out, and the shipped one 100 %."""
    data_dir = tmp_path_factory.mktemp("server") / "data"
    with ServerProcess(data_dir, *QUICK, "--bundles-dir", str(folder), "--bundle", SMALL) as process:
        yield process
        assert process.stop() == 0, process.log()
        assert "Traceback" not in process.log()


def quality_of(api: httpx.Client, task: str) -> float:
    accuracy: float = api.get(f"/v1/tasks/{task}/quality").json()["accuracy"]
    return accuracy


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_a_task_is_moved_where_it_is_no_worse_and_kept_where_it_falls(
    api: httpx.Client, shipped: str, support: Labelled, queries: Labelled
) -> None:
    images = [image for _, image in queries[::5]]
    task = create(api, support)["id"]
    before = predict(api, task, images)
    was = quality_of(api, task)
    assert 0.1 < was < 0.9, "it has to rise, and to fall again"
    drop = round(1.0 - was, 2)
    up = moved(api, shipped, [task])
    assert (up["state"], up["to"], up["max_drop"], up["reason"]) == ("finished", shipped, 0.02, None)
    assert (up["tasks"], up["images"]) == ({"moved": 1}, {"done": 25, "total": 25})
    assert up["accuracy"] == {"tasks": 1, "before": was, "after": 1.0}
    row = rows(api, up["id"])[task]
    assert row == {
        "task": task,
        "outcome": "moved",
        "images": 25,
        "backbone_before": SMALL,
        "versions": {"before": 1, "after": 2, "returned": None},
        "accuracy": {"judged_by": "leave-one-out", "judged": 25, "before": was, "after": 1.0},
        "reason": {"code": "accuracy_held", "detail": f"accuracy goes from {was:.3f} to 1.000 on the 25 examples judged"},
    }
    assert versions(api, task) == [(2, True, "refreshed", shipped), (1, False, "created", SMALL)]
    assert quality_of(api, task) == 1.0
    after = predict(api, task, images)
    assert sum(got["label"] == label for got, (label, _) in zip(after, queries[::5], strict=True)) >= 9
    assert answers(api, task, images) == answers(api, create_on(api, shipped, support), images), (
        "the head is that of a task made there"
    )

    too_little = round(drop - 0.01, 2)
    down = moved(api, SMALL, [task], max_drop=too_little)
    row = rows(api, down["id"])[task]
    assert (down["tasks"], row["outcome"], row["versions"]["before"], row["versions"]["after"]) == ({"kept": 1}, "kept", 2, None)
    detail = f"accuracy would fall from 1.000 to {was:.3f}, by more than {too_little:g}"
    assert row["reason"] == {"code": "accuracy_fell", "detail": detail}
    assert (row["accuracy"]["before"], row["accuracy"]["after"]) == (1.0, was)
    assert predict(api, task, images) == after
    assert len(versions(api, task)) == 2

    assert moved(api, SMALL, [task], max_drop=drop)["tasks"] == {"moved": 1}
    assert predict(api, task, images) == before
    assert versions(api, task)[0] == (3, True, "refreshed", SMALL)
    same = moved(api, SMALL, [task])
    assert (same["tasks"], rows(api, same["id"])[task]["reason"]["code"]) == ({"unchanged": 1}, "same_backbone")
    assert len(versions(api, task)) == 3
    listed = api.get(f"/v1/tasks/{task}/versions").json()["versions"]
    assert [each["accuracy"] for each in listed] == [was, 1.0, was]


def create_on(api: httpx.Client, backbone: str, examples: Labelled, **fields: str) -> str:
    """A task on a bundle that is not the default of the module's server."""
    assert api.post("/v1/backbones", json={"id": backbone}).is_success
    assert api.patch(f"/v1/backbones/{backbone}", json={"default": True}).is_success
    task: str = create(api, examples, **fields)["id"]
    assert api.patch(f"/v1/backbones/{SMALL}", json={"default": True}).is_success
    return task


def test_all_are_those_that_there_are(api: httpx.Client, shipped: str, support: Labelled) -> None:
    some = [create(api, support[:10:3])["id"] for _ in range(3)]
    earlier = moved(api, shipped, some)["id"]
    there = [task["id"] for task in api.get("/v1/tasks?limit=1000").json()["tasks"]]
    refresh = begin(api, shipped, "all")
    late = create(api, support[:10:3])["id"]
    until(api, refresh["id"], lambda refresh: refresh["state"] == "finished")
    found = rows(api, refresh["id"])
    assert list(found) == sorted(there)
    assert set(some) <= found.keys()
    assert late not in found
    assert {row["outcome"] for row in found.values()} <= {"moved", "unchanged"}
    listed = api.get("/v1/refreshes", params={"limit": 1}).json()
    assert listed["refreshes"] == [look(api, refresh["id"])]
    assert api.get("/v1/refreshes", params={"cursor": listed["next_cursor"]}).json()["refreshes"][0]["id"] == earlier


def test_what_the_owner_asked_for_comes_along(api: httpx.Client, support: Labelled) -> None:
    other = "set-otherwise@1"
    ours = create(api, support, options='{"temperature": 0.7}')
    theirs = create(api, support)
    prototypes = create(api, support, options='{"solver": "prototype"}')
    assert moved(api, other, [task["id"] for task in (ours, theirs, prototypes)])["tasks"] == {"moved": 3}
    for task, options in ((ours, '{"temperature": 0.7}'), (theirs, "{}"), (prototypes, '{"solver": "prototype"}')):
        made_there = api.get(f"/v1/tasks/{create_on(api, other, support, options=options)}").json()["head"]
        assert api.get(f"/v1/tasks/{task['id']}").json()["head"] == made_there != task["head"]


def evaluated(**accuracies: float) -> Callable[[dict[str, Any]], None]:
    """Gives a manifest evaluations on the novel classes of these datasets, and beside them some that must not count."""

    def change(manifest: dict[str, Any]) -> None:
        one = next(each for each in manifest["evaluations"] if (each["part"], each["shots"]) == ("test", 1))
        manifest["evaluations"] = [
            one | {"dataset": dataset} | other | {"accuracy": accuracy if not other else 1.0 - accuracy}
            for dataset, accuracy in accuracies.items()
            for other in ({}, {"shots": 5}, {"part": "validation"}, {"solver": "ridge"}, {"file": "backbone.int8.onnx"})
        ]

    return change


def test_tasks_that_leave_one_out_cannot_judge(tmp_path: Path, shipped_bundle: Path, support: Labelled) -> None:
    """They stay, unless what both bundles were evaluated on speaks for it: two datasets, a mean no worse, no far fall."""
    bundles = {
        "small": {"signs": 0.5, "birds": 0.7, "steel": 0.9},
        "better": {"signs": 0.69, "birds": 0.68, "leaves": 0.1},
        "fallen": {"signs": 0.8, "birds": 0.67, "steel": 0.9},
        "worse": {"signs": 0.49, "birds": 0.69, "steel": 0.9},
        "single": {"signs": 0.9, "leaves": 0.9},
        "unevaluated": {},
    }
    for name, accuracies in bundles.items():
        small_bundle(shipped_bundle, tmp_path, name)
        rewrite(tmp_path / name / "1", evaluated(**accuracies))
    flags = ("--bundles-dir", str(tmp_path), "--bundle", SMALL)
    with ServerProcess(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:

        def became(to: str, task: str, **more: Any) -> dict[str, Any]:
            return rows(api, moved(api, to, [task], **more)["id"])[task]

        task, mixed = create(api, support[::5])["id"], create(api, support[:7])["id"]  # mixed: five of one class, two of another
        for to, before, after, code in (
            ("fallen@1", 0.7, 0.79, "evaluations_fell"),
            ("worse@1", 0.7, (0.49 + 0.69 + 0.9) / 3, "evaluations_fell"),
            ("single@1", None, None, "not_judged"),
            ("unevaluated@1", None, None, "not_judged"),
            ("better@1", 0.6, 0.685, "evaluations_favour"),
        ):
            row = became(to, task)
            by = "nothing" if before is None else "evaluations"
            assert row["accuracy"] == {
                "judged_by": by,
                "judged": 0,
                "before": pytest.approx(before),
                "after": pytest.approx(after),
            }
            outcome = "moved" if code == "evaluations_favour" else "kept"
            assert (row["outcome"], row["reason"]["code"]) == (outcome, code)
        assert "on 2 datasets" in row["reason"]["detail"]
        assert api.get(f"/v1/tasks/{task}").json()["backbone"] == "better@1"
        assert became("fallen@1", mixed)["reason"]["code"] == "accuracy_held", "leave-one-out has the first word"
        alone = create(api, [*support[:5], support[7]])["id"]
        row = became("worse@1", alone)
        assert (row["outcome"], row["accuracy"]["judged_by"], row["accuracy"]["judged"]) == ("moved", "leave-one-out", 5)
        row = became("unevaluated@1", task, max_drop=1)
        assert (row["outcome"], row["reason"]["code"]) == ("moved", "any_fall_allowed")


def test_a_task_whose_own_bundle_is_gone_is_revived(
    tmp_path: Path, shipped_bundle: Path, shipped: str, support: Labelled
) -> None:
    small_bundle(shipped_bundle, tmp_path, "small", int8=True)
    data, flags = tmp_path / "data", (*QUICK, "--bundles-dir", str(tmp_path))
    with ServerProcess(data, *flags, "--bundle", SMALL) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        task = create(api, support, options='{"solver": "ridge", "temperature": 0.7}')["id"]
    spoil(tmp_path, SMALL)
    with ServerProcess(data, *flags, "--bundle", shipped) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        refresh = moved(api, shipped, [task])
        row = rows(api, refresh["id"])[task]
        assert (row["outcome"], row["accuracy"]["judged_by"], refresh["accuracy"]) == ("moved", "nothing", None)
        assert row["reason"]["code"] == "backbone_unavailable"
        assert predict(api, task, [support[0][1]])[0]["label"] == support[0][0]
        made_there = create(api, support, options='{"solver": "ridge", "temperature": 0.7}')
        assert api.get(f"/v1/tasks/{task}").json()["head"] == made_there["head"]

        back = rolled_back(api, refresh["id"])
        row = rows(api, refresh["id"])[task]
        assert (back["state"], row["outcome"], row["reason"]["code"]) == ("rolled_back", "not_returned", "backbone_unavailable")
        assert predict(api, task, [support[0][1]])[0]["label"] == support[0][0]
        spoil(tmp_path, SMALL)
        assert api.post("/v1/backbones", json={"id": SMALL}).is_success
        assert rolled_back(api, refresh["id"])["tasks"] == {"returned": 1}
        assert rows(api, refresh["id"])[task]["reason"]["code"] == "put_back"
        assert api.get(f"/v1/tasks/{task}").json()["version"] == 1


def test_one_task_that_fails_holds_up_no_other(tmp_path: Path, shipped_bundle: Path, shipped: str, support: Labelled) -> None:
    small_bundle(shipped_bundle, tmp_path, "small", int8=True)
    data, flags = tmp_path / "data", (*QUICK, "--bundles-dir", str(tmp_path), "--bundle", SMALL)
    with ServerProcess(data, *flags, "--keep-images=false") as server, httpx.Client(base_url=server.url, timeout=60) as api:
        forgetful = create(api, support)["id"]
    large = [*support[5:], ("large", encode(noise(300, 300)))]
    with ServerProcess(data, *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        over_limit = create(api, large)["id"]
        healthy = [create(api, support)["id"] for _ in range(2)]
    with (
        ServerProcess(data, *flags, "--max-image-pixels", "4096") as server,
        httpx.Client(base_url=server.url, timeout=60) as api,
    ):
        refresh = moved(api, shipped, "all")
        found = rows(api, refresh["id"])
        assert (refresh["state"], refresh["tasks"]) == ("finished", {"failed": 2, "moved": 2})
        assert (found[forgetful]["outcome"], found[forgetful]["reason"]["code"]) == ("failed", "image_not_kept")
        assert (found[over_limit]["outcome"], found[over_limit]["reason"]["code"]) == ("failed", "image_too_large")
        assert [found[task]["outcome"] for task in healthy] == ["moved", "moved"]
        assert predict(api, forgetful, [support[0][1]])[0]["scores"]
        assert "Traceback" not in server.log()


def test_a_bundle_that_cannot_be_opened_ends_the_refresh_with_the_reason(
    api: httpx.Client, folder: Path, shipped_bundle: Path, support: Labelled
) -> None:
    id_ = small_bundle(shipped_bundle, folder, "spoilt", int8=True)
    spoil(folder, id_)
    task = create(api, support)["id"]
    refresh = moved(api, id_, [task])
    assert (refresh["state"], refresh["reason"]["code"], refresh["tasks"]) == ("failed", "invalid_bundle", {"skipped": 1})
    assert "backbone.onnx" in refresh["reason"]["detail"]
    assert rows(api, refresh["id"])[task]["reason"]["code"] == "refresh_stopped"
    assert code_of(api.post(f"/v1/refreshes/{refresh['id']}/resume")) == (409, "wrong_refresh_state")
    assert rolled_back(api, refresh["id"])["state"] == "rolled_back"
    spoil(folder, id_)
    assert moved(api, id_, [task])["tasks"] == {"moved": 1}


def test_requests_that_cannot_be_carried_out(api: httpx.Client, shipped: str, support: Labelled) -> None:
    task = create(api, support)["id"]
    post = "/v1/refreshes"
    assert code_of(api.post(post, json={"to": "nothing@1"})) == (404, "backbone_not_found")
    unknown = api.post(post, json={"to": shipped, "tasks": [task, "task_nobodys"]})
    assert code_of(unknown) == (404, "task_not_found")
    assert "task_nobodys" in unknown.json()["detail"]
    for body in (
        {},
        {"to": shipped, "tasks": []},
        {"to": shipped, "tasks": "some"},
        {"to": shipped, "max_drop": -0.1},
        {"to": shipped, "max_drop": 2},
        {"to": shipped, "more": 1},
        {"to": 1},
    ):
        assert code_of(api.post(post, json=body)) == (422, "invalid_request")
    assert code_of(api.post(post, content=b"x", headers={"Content-Type": "text/plain"})) == (415, "unsupported_media_type")
    for response in (
        api.get(f"{post}/refresh_0"),
        api.get(f"{post}/refresh_0/tasks"),
        *(api.post(f"{post}/refresh_0/{action}") for action in ("pause", "resume", "cancel", "rollback")),
    ):
        assert code_of(response) == (404, "refresh_not_found")
    assert code_of(api.get(post, params={"cursor": "?"})) == (422, "invalid_request")
    refresh = moved(api, shipped, [task, task])
    assert refresh["tasks"] == {"moved": 1}, "named twice, moved once"
    for action in ("pause", "resume", "cancel"):
        assert code_of(api.post(f"{post}/{refresh['id']}/{action}")) == (409, "wrong_refresh_state")


def test_a_retry_gets_the_first_answer_again(api: httpx.Client, shipped: str, support: Labelled) -> None:
    task = create(api, support)["id"]
    headers = {"Idempotency-Key": "refresh-once"}
    first, second = (api.post("/v1/refreshes", json={"to": shipped, "tasks": [task]}, headers=headers) for _ in range(2))
    assert (first.status_code, first.json(), first.headers["location"]) == (202, second.json(), second.headers["location"])
    assert second.headers["idempotent-replayed"] == "true"
    other = api.post("/v1/refreshes", json={"to": shipped}, headers=headers)
    assert code_of(other) == (422, "idempotency_key_reused")
    ended(api, first.json()["id"])
    api.delete(f"/v1/tasks/{task}").raise_for_status()
    third = api.post("/v1/refreshes", json={"to": shipped, "tasks": [task]}, headers=headers)
    assert (third.status_code, third.content) == (202, first.content), "whatever came of it since"


def test_pausing_resuming_and_cancelling(api: httpx.Client, shipped: str, support: Labelled) -> None:
    tasks = [create(api, support)["id"] for _ in range(12)]
    id_ = begin(api, shipped, tasks)["id"]
    until(api, id_, lambda refresh: refresh["tasks"].get("moved", 0) >= 2)
    assert code_of(api.post(f"/v1/refreshes/{id_}/rollback")) == (409, "wrong_refresh_state")
    paused = change(api, id_, "pause")
    assert paused["state"] == "paused"
    assert (paused["images_per_second"], paused["seconds_left"]) == (None, None)
    assert 2 <= paused["tasks"]["moved"] < 12
    assert change(api, id_, "pause") == paused
    other = create(api, support)["id"]
    assert moved(api, shipped, [other])["tasks"] == {"moved": 1}, "a paused one is in nobody's way"
    assert look(api, id_) == paused
    assert sum(len(versions(api, task)) for task in tasks) == 12 + paused["tasks"]["moved"]

    assert change(api, id_, "resume")["state"] == "running"
    running = until(api, id_, lambda refresh: refresh["tasks"].get("moved", 0) > paused["tasks"]["moved"])
    assert running["images_per_second"] > 0
    assert running["seconds_left"] >= 0
    cancelled = change(api, id_, "cancel")
    assert cancelled["state"] == "cancelled"
    assert cancelled["tasks"].keys() == {"moved", "skipped"}
    assert change(api, id_, "cancel") == cancelled
    assert moved(api, SMALL, [other])["state"] == "finished", "the server has looked for work since"
    assert look(api, id_) == cancelled
    assert sum(len(versions(api, task)) for task in tasks) == 12 + cancelled["tasks"]["moved"]
    back = rolled_back(api, id_)
    assert back["tasks"] == {"returned": cancelled["tasks"]["moved"], "skipped": cancelled["tasks"]["skipped"]}
    assert back["images"] == {"done": 25 * back["tasks"]["returned"], "total": 25 * back["tasks"]["returned"]}
    assert {api.get(f"/v1/tasks/{task}").json()["version"] for task in tasks} == {1}


def test_pausing_and_resuming_within_milliseconds_leaves_no_task_behind(
    api: httpx.Client, shipped: str, support: Labelled
) -> None:
    """At whatever moment the server looks for the next task."""
    tasks = [create(api, support[:10:3])["id"] for _ in range(8)]
    id_ = begin(api, shipped, tasks)["id"]
    for turn in range(150):
        if not all(api.post(f"/v1/refreshes/{id_}/{action}").is_success for action in ("pause", "resume")):
            break  # It has ended.
        time.sleep(0.002 * (turn % 4))
    refresh = ended(api, id_)
    assert (refresh["state"], refresh["tasks"]) == ("finished", {"moved": 8})


def test_a_rollback_keeps_what_was_changed_since(api: httpx.Client, shipped: str, support: Labelled, queries: Labelled) -> None:
    """Untouched ones are as before; examples that came, went or were forgotten stay so, on the bundle that the task came from."""
    untouched, added, forgotten, by_hand, elsewhere, deleted = (create(api, support)["id"] for _ in range(6))
    tasks = [untouched, added, forgotten, by_hand, elsewhere, deleted]
    images = [image for _, image in queries[::5]]
    before = answers(api, untouched, images)
    refresh = moved(api, shipped, tasks)
    assert refresh["tasks"] == {"moved": 6}
    assert api.post(f"/v1/tasks/{added}/examples", **multipart([("new", queries[0][1])])).json()["version"] == 3
    example = api.get(f"/v1/tasks/{forgotten}/examples").json()["examples"][0]["id"]
    assert api.delete(f"/v1/tasks/{forgotten}/examples/{example}", params={"forget": True}).json()["version"] == 3
    assert api.patch(f"/v1/tasks/{by_hand}", json={"active_version": 1}).is_success
    assert moved(api, "copy@1", [elsewhere])["tasks"] == {"moved": 1}
    assert api.delete(f"/v1/tasks/{deleted}").status_code == 204

    row = rows(api, refresh["id"])[deleted]
    assert (row["outcome"], row["accuracy"], row["reason"]["code"]) == ("gone", None, "task_not_found")
    back = rolled_back(api, refresh["id"])
    assert (back["state"], back["tasks"]) == ("rolled_back", {"gone": 1, "returned": 5})
    found = rows(api, refresh["id"])
    returned = {task: found[task]["versions"]["returned"] for task in tasks[:5]}
    assert returned == {untouched: 1, added: 4, forgotten: 4, by_hand: 1, elsewhere: 4}
    reasons = {untouched: "put_back", added: "changed_since", forgotten: "changed_since", by_hand: "same_backbone"}
    assert {task: found[task]["reason"]["code"] for task in reasons} == reasons
    for task, version in returned.items():
        shown = api.get(f"/v1/tasks/{task}").json()
        assert (shown["version"], shown["backbone"]) == (version, SMALL)
    assert answers(api, untouched, images) == answers(api, by_hand, images) == before
    assert answers(api, elsewhere, images) == before
    with_new = create(api, [*support, ("new", queries[0][1])])["id"]
    assert answers(api, added, images) == answers(api, with_new, images)
    assert answers(api, forgotten, images) == answers(api, create(api, support[1:])["id"], images)


def test_every_answer_is_of_a_version_that_the_task_had(
    server: ServerProcess, api: httpx.Client, shipped: str, support: Labelled, queries: Labelled
) -> None:
    """While tasks go there and back: version, backbone and probability of each answer belong together."""
    tasks = [create(api, support[number % 3 :])["id"] for number in range(6)]
    image = [queries[7][1]]
    done = threading.Event()

    def ask(number: int) -> list[tuple[str, int, str, float]]:
        answers: list[tuple[str, int, str, float]] = []
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not done.is_set():
                task = tasks[(number + len(answers)) % len(tasks)]
                response = client.post(f"/v1/tasks/{task}/predict", files=[("images", image[0])])
                assert response.status_code == 200, response.text
                got = response.json()
                answers.append((task, got["version"], got["backbone"], got["predictions"][0]["scores"]["palace"]))
        return answers

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            refresh = moved(api, shipped, tasks)
            assert refresh["tasks"] == {"moved": 6}
            back = rolled_back(api, refresh["id"])
            assert moved(api, shipped, tasks)["tasks"] == {"moved": 6}
        finally:
            done.set()
        answers = [answer for each in asking for answer in each.result()]
    assert back["tasks"] == {"returned": 6}
    expected = {}
    for task in tasks:
        for version, _, _, backbone in versions(api, task):
            assert api.patch(f"/v1/tasks/{task}", json={"active_version": version}).is_success
            expected[task, version] = backbone, predict(api, task, image)[0]["scores"]["palace"]
    for task, version, backbone, probability in answers:
        assert expected[task, version] == (backbone, pytest.approx(probability, abs=1e-5))
    assert Counter(version for _, version, _, _ in answers).keys() == {1, 2, 3}


@pytest.mark.parametrize("way", ["moving", "rolling back", "paused"])
def test_a_killed_server_goes_on_where_it_was(tmp_path: Path, folder: Path, shipped: str, support: Labelled, way: str) -> None:
    data, flags = tmp_path / "data", (*QUICK, "--bundles-dir", str(folder), "--bundle", SMALL)
    grown = support * 2  # Where a task has changed, its way back is as long as the way there.
    with ServerProcess(data, *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        tasks = [create(api, support[:10])["id"] for _ in range(12)]
        id_ = begin(api, shipped, tasks)["id"]
        if way == "rolling back":
            assert ended(api, id_)["tasks"] == {"moved": 12}
            for task in tasks:
                assert api.post(f"/v1/tasks/{task}/examples", **multipart(grown)).is_success
            assert change(api, id_, "rollback")["state"] == "rolling_back"
        until(api, id_, lambda refresh: refresh["tasks"].get("returned" if way == "rolling back" else "moved", 0) >= 3)
        if way == "paused":
            change(api, id_, "pause")
        process.kill()
    with statements_in(data) as database:
        unfinished = refresh_tasks.c.outcome.in_(["waiting", "returning"])
        left = database.execute(select(func.count()).select_from(refresh_tasks).where(unfinished)).scalar_one()
    assert 0 < left <= 9, "killed in the middle"
    with ServerProcess(data, *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        if way == "paused":
            assert moved(api, shipped, [create(api, support)["id"]])["tasks"] == {"moved": 1}, "it is in nobody's way"
            assert look(api, id_)["tasks"] == {"moved": 12 - left, "waiting": left}
            change(api, id_, "resume")
        refresh = ended(api, id_)
        found = rows(api, id_)
        for task in tasks:
            history = [change for _, _, change, _ in versions(api, task)]
            if way == "rolling back":
                assert history == ["refreshed", "added", "refreshed", "created"]
                assert found[task]["versions"] == {"before": 1, "after": 2, "returned": 4}
            else:
                assert history == ["refreshed", "created"]
                assert found[task]["versions"] == {"before": 1, "after": 2, "returned": None}
            assert api.get(f"/v1/tasks/{task}").json()["backbone"] == (SMALL if way == "rolling back" else shipped)
        assert refresh["tasks"] == {"returned" if way == "rolling back" else "moved": 12}
        assert "Traceback" not in process.log()


def test_sigterm_in_the_middle_is_prompt_and_loses_nothing(tmp_path: Path, folder: Path, shipped: str, support: Labelled) -> None:
    data, flags = tmp_path / "data", (*QUICK, "--bundles-dir", str(folder), "--bundle", SMALL)
    with ServerProcess(data, *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        tasks = [create(api, support[:10])["id"] for _ in range(8)]
        id_ = begin(api, shipped, tasks)["id"]
        until(api, id_, lambda refresh: "moved" in refresh["tasks"])
    assert process.process.returncode == 0, process.log()
    assert "Traceback" not in process.log()
    with ServerProcess(data, *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        assert ended(api, id_)["tasks"] == {"moved": 8}
        assert {len(versions(api, task)) for task in tasks} == {2}


def test_tasks_deleted_and_changed_meanwhile(api: httpx.Client, shipped: str, support: Labelled, queries: Labelled) -> None:
    at_hand, next_, going, waiting = (create(api, some)["id"] for some in (support * 10, support * 10, support, support))
    id_ = begin(api, shipped, [at_hand, next_, going, waiting])["id"]
    until(api, id_, lambda refresh: refresh["images"]["done"] > 0)
    for task in (at_hand, waiting):
        assert api.post(f"/v1/tasks/{task}/examples", **multipart([("new", queries[0][1])])).status_code == 201
    assert api.delete(f"/v1/tasks/{going}").status_code == 204
    until(api, id_, lambda refresh: refresh["tasks"].get("moved") == 1 and refresh["images"]["done"] > 260)
    assert api.delete(f"/v1/tasks/{next_}").status_code == 204, "in the middle of it"
    assert ended(api, id_)["tasks"] == {"gone": 2, "moved": 2}
    for task in (at_hand, waiting):
        assert [change for _, _, change, _ in versions(api, task)] == ["refreshed", "added", "created"]
        shown = api.get(f"/v1/tasks/{task}").json()
        assert (shown["version"], shown["backbone"], len(shown["classes"])) == (3, shipped, 6)


def test_the_sdk_moves_watches_and_returns(server: ServerProcess, shipped: str, support: Labelled) -> None:
    with Client(server.url) as client:
        task = client.create_task("by sdk", support)
        was = client.quality(task.id).accuracy
        begun = client.refreshes.start(shipped, task.id, max_drop=0.1)
        assert (begun.to, begun.max_drop, begun.images) == (shipped, 0.1, 25)
        assert next(client.refreshes.list()).id == begun.id
        while (now := client.refreshes.get(begun.id)).at_work:
            time.sleep(0.02)
        assert (now.state, now.tasks, now.judged, now.accuracy_before, now.accuracy_after) == (
            "finished",
            {"moved": 1},
            1,
            was,
            1.0,
        )
        (row,) = client.refreshes.tasks(begun.id)
        assert (row.task, row.outcome, row.version_before, row.version_after) == (task.id, "moved", 1, 2)
        assert row.accuracy
        assert (row.accuracy.judged_by, row.accuracy.before, row.accuracy.after) == ("leave-one-out", was, 1.0)
        for change_state in (client.refreshes.pause, client.refreshes.resume, client.refreshes.cancel):
            with pytest.raises(WrongRefreshState):
                change_state(begun.id)
        assert client.refreshes.rollback(begun.id).state == "rolling_back"
        while (now := client.refreshes.get(begun.id)).at_work:
            time.sleep(0.02)
        (row,) = client.refreshes.tasks(begun.id)
        assert (now.state, row.outcome, row.version_returned, client.task(task.id).version) == ("rolled_back", "returned", 1, 1)
        with pytest.raises(RefreshNotFound):
            client.refreshes.get("refresh_0")
        with pytest.raises(BackboneNotFound):
            client.refreshes.start("nothing@1")
        with pytest.raises(TaskNotFound):
            client.refreshes.start(shipped, ["task_0"])


def test_the_command_moves_and_returns(
    server: ServerProcess, shipped: str, support: Labelled, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        return main([*arguments, "--url", server.url]), *capsys.readouterr()

    with Client(server.url) as client:
        ids = [client.create_task(f"by command {number}", support).id for number in range(2)]
        code, out, err = run("refresh", shipped, "--task", "by command 0", "--task", ids[1])
        assert code == 0
        assert re.search(rf"Refresh refresh_\w+ onto {shipped}: finished\.", out)
        assert re.search(r"moved +2 +2 +56\.0% +100\.0%", out)
        for task in ids:
            assert re.search(rf"{task} +moved +2 +leave-one-out +56\.0% +100\.0% +accuracy goes from 0\.560 to 1\.000", out)
        assert re.search(r"Moving: \d+ of 50 images", err)
        id_ = next(client.refreshes.list()).id
        assert f"headstart refreshes rollback {id_}" in out
        assert re.search(rf"{id_} +{shipped} +finished +2 +2", run("refreshes")[1])
        assert re.search(rf"{ids[0]} +moved +2 +leave-one-out +56\.0% +100\.0%", run("refreshes", "tasks", id_)[1])
        assert json.loads(run("refreshes", "show", id_, "--json")[1]) == client.refreshes.get(id_).raw
        assert json.loads(run("refreshes", "tasks", id_, "--json")[1])["tasks"] == [t.raw for t in client.refreshes.tasks(id_)]

        code, out, _ = run("refresh", SMALL, "--task", ids[0], "--max-drop", "0.1")
        assert code == 0
        assert re.search(rf"{ids[0]} +kept +2 +leave-one-out +100\.0% +56\.0% +accuracy would fall from 1\.000", out)
        for action in ("pause", "resume", "cancel"):
            code, _, err = run("refreshes", action, id_)
            assert (code, "`headstart refreshes show REFRESH`" in err) == (1, True)
        code, out, _ = run("refreshes", "rollback", id_)
        assert code == 0
        assert re.search(r"rolled back\.", out)
        assert re.search(r"returned +2 +2 +56\.0% +100\.0%", out)
        assert {client.task(task).version for task in ids} == {1}
        code, out, err = run("refresh", shipped, "--task", ids[0], "--json")
        assert (code, json.loads(out)["state"], err) == (0, "finished", "")
        assert run("refreshes", "follow", json.loads(out)["id"])[0] == 0
        code, _, err = run("refreshes", "show", "refresh_0")
        assert (code, "`headstart refreshes` shows" in err) == (1, True)
        assert run("refresh", "nothing@1")[0] == 1


def test_on_a_terminal_a_bar_shows_the_pace_and_ctrl_c_stops_the_watching_alone(
    server: ServerProcess, api: httpx.Client, shipped: str, support: Labelled
) -> None:
    tasks = [create(api, support * 10)["id"] for _ in range(3)]
    ours, terminal = pty.openpty()
    command = [sys.executable, "-W", "error", "-m", "headstart", "refresh", shipped, "--url", server.url]
    for task in tasks:
        command += ["--task", task]
    seen = ""

    def until_said(pattern: str) -> None:
        nonlocal seen
        while not re.search(pattern, " ".join(re.sub(r"\x1b\[[\d;?]*\w", "", seen).split())):
            seen += os.read(ours, 4096).decode(errors="replace")

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env={**os.environ, "COLUMNS": "120"}) as watching:
        os.close(terminal)  # so that reading fails when the command has ended
        until_said(r"Moving \S+ \d+/750 images, \d+ a second, (\d+ min )?\d+ s left")
        watching.send_signal(signal.SIGINT)
        until_said(r"the server goes on\. To watch again: headstart refreshes follow refresh_\w+")
    os.close(ours)
    assert watching.returncode == 130
    id_ = api.get("/v1/refreshes", params={"limit": 1}).json()["refreshes"][0]["id"]
    assert ended(api, id_)["tasks"] == {"moved": 3}
