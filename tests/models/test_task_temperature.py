"""The temperature of a served task: that of its own support set, or what its owner asked for, through every version."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select, update

from models.bundle import Bundle, open_bundle, replace_manifest
from models.engine import embed_all, open_engine
from models.heads.fitting import classes_of
from models.heads.geometry import geometry
from models.heads.temperature import coefficients, support_terms
from models.images.preprocess import load_image
from models.manifest import TemperatureLaws
from server.store.tables import versions
from tests.helpers.bundles import small_bundle
from tests.helpers.databases import statements_in
from tests.helpers.laws import SUPPORT_LAW
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, multipart


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Bundle:
    """A small bundle whose temperatures follow the support set."""
    folder = tmp_path_factory.mktemp("bundles")
    small_bundle(shipped_bundle, folder, "follows")
    path = folder / "follows" / "1"
    manifest = open_bundle(path).manifest
    laws = TemperatureLaws(logistic=SUPPORT_LAW, ridge=SUPPORT_LAW, prototype=SUPPORT_LAW)
    replace_manifest(path, manifest.model_copy(update={"head": manifest.head.model_copy(update={"temperatures": laws})}))
    return open_bundle(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "data"


@pytest.fixture(scope="module")
def api(bundle: Bundle, data: Path) -> Iterator[httpx.Client]:
    flags = ("--engine", "onnx", "--bundles-dir", str(bundle.path.parent.parent), "--bundle", "follows@1")
    with ServerProcess(data, *flags) as process, httpx.Client(base_url=process.url, timeout=60) as client:
        yield client
        assert "Traceback" not in process.log()


def expected(bundle: Bundle, examples: Labelled) -> float:
    """By the formula, on the embeddings that the bundle makes of the images."""
    engine = open_engine(bundle, "onnx")
    embeddings = embed_all(engine, np.stack([load_image(image, bundle.manifest.input) for _, image in examples]))
    space = engine.space.features(embeddings, bundle.manifest.head.options().centre)
    _, labels = classes_of([label for label, _ in examples])
    return float(np.exp(coefficients(SUPPORT_LAW) @ support_terms(geometry(space, labels))))


def temperature(task: dict[str, Any]) -> float:
    found: float = task["head"]["temperature"]
    return found


def test_it_is_that_of_the_support_set_in_each_version(api: httpx.Client, bundle: Bundle, support: Labelled) -> None:
    task = create(api, support[::5])
    assert temperature(task) == pytest.approx(expected(bundle, support[::5]), rel=1e-3)
    path = f"/v1/tasks/{task['id']}/examples"
    grown = api.post(path, **multipart(support[1:5])).json()
    assert temperature(grown) == pytest.approx(expected(bundle, support[::5] + support[1:5]), rel=1e-3)
    assert temperature(grown) != pytest.approx(temperature(task), rel=1e-2)
    assert temperature(create(api, support)) == pytest.approx(expected(bundle, support), rel=1e-3)
    examples = api.get(path).json()["examples"]
    for example in examples[5:]:
        fallen = api.delete(f"{path}/{example['id']}").json()
    assert temperature(fallen) == pytest.approx(temperature(task), rel=1e-5)


def test_what_was_asked_for_stays_even_where_it_equals_the_backbones_choice(api: httpx.Client, support: Labelled) -> None:
    usual = create(api, support[::5])
    asked = create(api, support[::5], options=json.dumps({"temperature": temperature(usual)}))
    grown = [api.post(f"/v1/tasks/{task['id']}/examples", **multipart(support[1:3])).json() for task in (usual, asked)]
    assert temperature(grown[1]) == temperature(asked) == temperature(usual) != temperature(grown[0])
    assert grown[1]["head"].keys() == {"solver", "C", "temperature", "centre"}


@pytest.mark.parametrize(("options", "stays"), [({}, False), ({"temperature": 0.7}, True)])
def test_of_a_version_stored_before_it_was_kept_what_was_asked_for_is_guessed(
    api: httpx.Client, data: Path, support: Labelled, options: dict[str, float], stays: bool
) -> None:
    task = create(api, support[::5], options=json.dumps({"C": 2.5, **options}))
    with statements_in(data) as database:
        stored = database.execute(select(versions.c.options).where(versions.c.task == task["id"])).scalar_one()
        old = {name: value for name, value in stored.items() if name != "asked"}
        assert old != stored
        database.execute(update(versions).where(versions.c.task == task["id"]).values(options=old))
    assert api.get(f"/v1/tasks/{task['id']}").json()["head"] == task["head"]
    grown = api.post(f"/v1/tasks/{task['id']}/examples", **multipart(support[1:5])).json()
    assert grown["head"]["C"] == 2.5
    assert (temperature(grown) == temperature(task)) == stays
    again = api.post(f"/v1/tasks/{task['id']}/examples", **multipart(support[6:8])).json()
    assert (temperature(again) == temperature(task)) == stays


def test_another_solver_is_compared_with_a_temperature_of_its_own(api: httpx.Client, support: Labelled) -> None:
    task = create(api, support)
    found = api.post(f"/v1/tasks/{task['id']}/compare", json={}).json()["candidates"]
    solvers = [each["head"]["solver"] for each in found]
    assert sorted(solvers[:3]) == ["logistic", "prototype", "ridge"], "the active version is not its own candidate"
    assert len(found) == len(solvers)
    assert found[0]["head"] == task["head"]
