"""The server with embeddings that stay where the engine makes them, as tensors, beside the one with NumPy arrays.

The tensors are on the CPU here. Everything but the kernels is what a GPU runs.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast, get_args

import httpx
import pytest
from starlette.testclient import TestClient

from models.answers.on_device import DeviceAnswers
from models.bundle import PAPER_BUNDLE, Bundle
from models.engine import Engine, EngineKind, open_engine
from models.manifest import Solver
from server.app import create_app
from server.engine import backbone, opening
from server.settings import Settings
from tests.helpers.samples import Labelled
from tests.helpers.servers import FAST_ENGINE
from tests.helpers.uploads import create, multipart
from tests.helpers.uploads import queries as form

SOLVERS = get_args(Solver)
PROBABILITY, SIMILARITY = 1e-4, 2e-3


@contextmanager
def serving(folder: Path) -> Iterator[httpx.Client]:
    settings = Settings(data_dir=folder, engine=FAST_ENGINE, bundle=PAPER_BUNDLE, log_level="warning")
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield cast(httpx.Client, client)


def with_tensors(bundle: Bundle, kind: EngineKind, threads: int | None, remembered: Path, *_others: object) -> Engine:
    return open_engine(bundle, kind, threads, remembered, {"cpu"})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[httpx.Client]]:
    """A server with NumPy arrays, and one with tensors."""
    with ExitStack() as stack:
        host = stack.enter_context(serving(tmp_path_factory.mktemp("host")))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(opening, "open_engine", with_tensors)
            tensors = stack.enter_context(serving(tmp_path_factory.mktemp("tensors")))
        yield [host, tensors]


def ask(client: httpx.Client, task: str, images: Sequence[bytes], **query: str) -> list[dict[str, Any]]:
    response = client.post(f"/v1/tasks/{task}/predict", **form(images), params=query)
    assert response.status_code == 200, response.text
    predictions: list[dict[str, Any]] = response.json()["predictions"]
    return predictions


def assert_alike(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> None:
    assert len(one) == len(other) > 0
    for here, there in zip(one, other, strict=True):
        assert here.keys() == there.keys()
        assert here.get("error") == there.get("error")
        assert there.get("scores") == pytest.approx(here.get("scores"), abs=PROBABILITY)
        assert there.get("novelty") == pytest.approx(here.get("novelty"), abs=SIMILARITY)
        for near, nearby in zip(here.get("nearest", []), there.get("nearest", []), strict=True):
            assert nearby["similarity"] == pytest.approx(near["similarity"], abs=SIMILARITY)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_task_answers_alike(both: list[httpx.Client], support: Labelled, queries: Labelled, solver: str) -> None:
    images = [image for _, image in queries]
    found = []
    for client in both:
        task = create(client, support[::2], options=json.dumps({"solver": solver}))["id"]
        said = [*ask(client, task, images[:1]), *ask(client, task, images), *ask(client, task, images, unknown="ignore")]
        said += ask(client, task, images[:8], mode="transductive")
        assert client.post(f"/v1/tasks/{task}/examples", **multipart(queries[:3])).status_code == 201
        found.append([*said, *ask(client, task, images[:7])])
        assert client.post(f"/v1/tasks/{task}/predict", **form([b"broken"])).status_code == 422
    assert_alike(*found)


def test_a_mixed_batch_is_answered_alike(both: list[httpx.Client], support: Labelled, queries: Labelled) -> None:
    """Tasks of several sizes and solvers are asked at once, and some images are broken."""
    images = [image for _, image in queries]
    parts = [support[:10], support, support[:15], support[5:]]
    found = []
    for client in both:
        tasks = [create(client, part, options=json.dumps({"solver": solver}))["id"] for part in parts for solver in SOLVERS]
        with ThreadPoolExecutor(len(tasks)) as pool:
            asked = [pool.submit(ask, client, task, [*images[n : n + 3], b"broken", *images[:n]]) for n, task in enumerate(tasks)]
            found.append([one for each in asked for one in each.result()])
        broken = client.post("/v1/predict", params={"tasks": ",".join(tasks)}, **form([b"broken", b"too"]))
        assert broken.status_code == 200, broken.text
        many = client.post("/v1/predict", params={"tasks": ",".join(tasks)}, **form(images[:4])).json()
        found[-1] += [one for result in many["results"] for one in result["predictions"]]
    assert_alike(*found)


def test_a_device_answers_in_place_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, support: Labelled, queries: Labelled
) -> None:
    """The answers that are compared above do come from tensors."""
    answered: list[str] = []

    class Watched(DeviceAnswers):
        def __call__(self, embeddings: Any, asked: Any) -> Any:
            answered.append(type(embeddings).__name__)
            return super().__call__(embeddings, asked)

    monkeypatch.setattr(opening, "open_engine", with_tensors)
    monkeypatch.setattr("models.answers.on_device.DeviceAnswers", Watched)
    assert not hasattr(backbone, "DeviceAnswers")  # It is imported where it is used.
    with serving(tmp_path) as client:
        ask(client, create(client, support)["id"], [queries[0][1]])
    assert answered == ["Tensor"]
