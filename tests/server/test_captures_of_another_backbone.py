"""Captures that were embedded by the backbone a task had before: they wait outside the queue, and can still be labelled."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from models.bundle import read_manifest
from tests.helpers.bundles import SMALL
from tests.helpers.refreshes import moved
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE, ServerProcess
from tests.helpers.uploads import create, multipart, predict
from tests.server.test_captures import ids_in, queue, remember, resolve


@pytest.fixture
def flags(int8_bundles: Path) -> tuple[str, ...]:
    """New tasks are on a bundle from which they can be moved onto the shipped one."""
    return ("--engine", FAST_ENGINE, "--bundles-dir", str(int8_bundles), "--bundle", SMALL)


@pytest.fixture
def api(tmp_path: Path, flags: tuple[str, ...]) -> Iterator[httpx.Client]:
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        yield api


def test_they_are_embedded_again_from_their_images(
    api: httpx.Client, shipped_bundle: Path, support: Labelled, queries: Labelled
) -> None:
    shipped = read_manifest(shipped_bundle).id
    asked, others = queries[:20], [image for _, image in queries[20:]]
    tasks = [create(api, support, name=name)["id"] for name in ("resolved", "added")]
    before = remember(api, tasks[0], [image for _, image in asked])
    assert moved(api, shipped, tasks, max_drop=1)["state"] == "finished"

    after = remember(api, tasks[0], others[:1])
    page = queue(api, tasks[0])
    assert (page["other_backbone"], ids_in(page)) == (len(before), after)
    decisions = [{"captures": [id_], "label": label} for id_, (label, _) in zip(before, asked, strict=True)]
    resolved = resolve(api, tasks[0], *decisions)
    assert resolved.status_code == 201, resolved.text
    assert queue(api, tasks[0])["other_backbone"] == 0

    # The version is the one that the same images make when they are added on the new backbone.
    assert resolved.json()["backbone"] == shipped
    assert api.post(f"/v1/tasks/{tasks[1]}/examples", **multipart(asked)).status_code == 201
    for mine, theirs in zip(predict(api, tasks[0], others), predict(api, tasks[1], others), strict=True):
        assert mine["scores"] == pytest.approx(theirs["scores"], abs=0.02)


def test_without_their_images_the_decision_is_refused_and_changes_nothing(
    tmp_path: Path, flags: tuple[str, ...], shipped_bundle: Path, support: Labelled, queries: Labelled
) -> None:
    keep_none = (*flags, "--keep-images=false")
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create(api, support, name="moved")["id"]
    with ServerProcess(tmp_path / "data", *keep_none) as process, httpx.Client(base_url=process.url, timeout=60) as api:
        (capture,) = remember(api, task, [queries[0][1]])
        assert moved(api, read_manifest(shipped_bundle).id, [task], max_drop=1)["state"] == "finished"
        refused = resolve(api, task, {"captures": [capture], "label": queries[0][0]})
        assert (refused.status_code, refused.json()["code"]) == (404, "image_not_kept")
        assert queue(api, task)["other_backbone"] == 1
        assert api.get(f"/v1/tasks/{task}").json()["version"] == 2
