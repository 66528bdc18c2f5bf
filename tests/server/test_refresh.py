"""Versions of one task on several backbones: each is fitted on, and applied to, embeddings of its own."""

from contextlib import closing
from pathlib import Path

import httpx
import numpy as np

from models.bundle import open_bundle
from models.engine import embed_all, open_engine
from models.heads.fitting import fit_head
from models.heads.head import Float32
from models.images.preprocess import load_image
from models.labels import as_texts
from server.store.records import Task, TaskKey
from server.store.store import Store
from tests.helpers.databases import database_url
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart, predict

T = "default"


def refresh(folder: Path, task: str, bundle_folder: Path) -> Task:
    """Moves a task of a stopped server from the bundle's float32 file onto its int8 file, a few images at a time."""
    bundle = open_bundle(bundle_folder)
    engine = open_engine(bundle, "onnx-int8")
    embedded: dict[str, Float32] = {}
    with closing(Store.open(database_url(folder))) as store:
        for start in range(0, 25, 7):
            page = store.examples.images(TaskKey(T, task), store.examples.support(TaskKey(T, task), 1).ids[start : start + 7])
            pixels = np.stack([load_image(example.image, bundle.manifest.input) for example in page])
            embedded |= zip((example.id for example in page), embed_all(engine, pixels), strict=True)
        support = store.examples.support(TaskKey(T, task), 1)
        vectors = np.stack([embedded[example] for example in support.ids])
        head = fit_head(vectors, as_texts(support.labels), engine.space, store.tasks.get(TaskKey(T, task)).version.options)
        return store.tasks.add_refreshed(TaskKey(T, task), 1, embedded, head)


def test_a_task_goes_from_one_backbone_to_another_and_back(
    tmp_path: Path, shipped_bundle: Path, support: Labelled, queries: Labelled
) -> None:
    folder = tmp_path / "data"
    images = [image for _, image in queries[:10]]
    with ServerProcess(folder, "--engine", "onnx") as process, httpx.Client(base_url=process.url, timeout=60) as api:
        task = create(api, support)["id"]
        first = predict(api, task, images)
    assert refresh(folder, task, shipped_bundle).version.number == 2
    with ServerProcess(folder, "--engine", "onnx") as process, httpx.Client(base_url=process.url, timeout=60) as api:
        path = f"/v1/tasks/{task}"
        assert [version["change"] for version in api.get(f"{path}/versions").json()["versions"]] == ["refreshed", "created"]
        second = predict(api, task, images)
        assert second != first
        assert np.mean([one["label"] == other["label"] for one, other in zip(first, second, strict=True)]) > 0.8
        added = api.post(f"{path}/examples", **multipart([("new", queries[20][1])])).json()
        assert (added["version"], len(added["classes"])) == (3, 6)

        assert api.patch(path, json={"active_version": 1}).json()["version"] == 1
        assert predict(api, task, images) == first
        assert api.post(f"{path}/examples", **multipart([("newer", queries[30][1])])).json()["version"] == 4
        listed = [example["id"] for example in api.get(f"{path}/examples").json()["examples"]]
        assert api.delete(f"{path}/examples/{listed[-1]}").json()["version"] == 5
        assert predict(api, task, images) == first
        assert api.delete(f"{path}/examples/{listed[0]}", params={"forget": True}).json()["version"] == 6
        assert [version["version"] for version in api.get(f"{path}/versions").json()["versions"]] == [6]
        assert len(predict(api, task, images)[0]["scores"]) == 5
