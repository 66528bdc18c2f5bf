"""The forecast of a task's accuracy, over real HTTP: beside the model's own functions, and where nothing can be said."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select, update

from models.bundle import open_bundle
from models.engine import embed_all, file_of, open_engine
from models.heads.forecast import CurvePrior, Evaluated, Forecast, forecast
from models.heads.learning_curve import learning_curve
from models.images.preprocess import load_image
from models.manifest import HeadOptions
from server.store.tables import replays
from tests.helpers.bundles import SMALL, small_bundle
from tests.helpers.databases import statements_in
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, mislabelled, multipart


def told(quality: dict[str, Any]) -> list[Forecast]:
    return [Forecast(each["factor"], each["accuracy"], tuple(each["interval"])) for each in quality["forecast"]]


def prior_of(bundle: Path, file: str) -> CurvePrior:
    """What the evaluations of the file on novel classes make one expect."""
    return CurvePrior.of(
        Evaluated(each.dataset, each.ways, each.shots, each.accuracy)
        for each in open_bundle(bundle).manifest.evaluations
        if (each.part, each.file, each.solver) == ("test", file, "logistic")
    )


def test_it_is_that_of_the_examples_embeddings_and_of_the_bundles_evaluations(
    api: httpx.Client, shipped_bundle: Path, support: Labelled, queries: Labelled
) -> None:
    examples = mislabelled(support + queries, 6)
    task = create(api, examples)
    backbone = next(each for each in api.get("/v1/backbones").json()["backbones"] if each["id"] == task["backbone"])
    bundle = open_bundle(shipped_bundle)
    engine = open_engine(bundle, backbone["engines"][0])
    embeddings = embed_all(engine, np.stack([load_image(image, bundle.manifest.input) for _, image in examples]))
    names = list(dict.fromkeys(label for label, _ in examples))
    labels = np.array([names.index(label) for label, _ in examples])
    options = HeadOptions(**task["head"])
    assert task["quality"]["groups"] == len(labels)
    curve = learning_curve(engine.space.features(embeddings, options.centre), labels, options, np.arange(len(labels)))
    expected = forecast(curve, np.bincount(labels), prior_of(shipped_bundle, file_of(engine.kind)))
    for found, each in zip(told(task["quality"]), expected, strict=True):
        assert found.factor == each.factor
        assert found.accuracy == pytest.approx(each.accuracy, abs=1e-3)
        assert found.interval == pytest.approx(each.interval, abs=1e-3)
    assert 0.5 < expected[0].accuracy < 0.99, "some were mislabelled"


def test_the_order_of_examples_does_not_matter_and_further_ones_change_it(api: httpx.Client, support: Labelled) -> None:
    examples = mislabelled(support, 6)
    task = create(api, examples)
    assert told(create(api, examples[::-1])["quality"]) == told(task["quality"])
    path = f"/v1/tasks/{task['id']}"
    added = api.post(f"{path}/examples", **multipart([("windmill", support[5][1])])).json()["quality"]
    assert told(added) != told(task["quality"])
    assert told(api.get(f"{path}/quality").json()) == told(added)


def test_of_one_example_a_class_and_of_one_session_it_is_the_priors_alone(
    api: httpx.Client, shipped_bundle: Path, support: Labelled
) -> None:
    alone = create(api, support[::5])
    backbone = next(each for each in api.get("/v1/backbones").json()["backbones"] if each["id"] == alone["backbone"])
    prior = prior_of(shipped_bundle, file_of(backbone["engines"][0]))
    assert told(alone["quality"]) == forecast([], np.ones(5, int), prior)
    sessions = create(api, [example for example in support[::5] for _ in range(3)])["quality"]
    assert told(sessions) == told(alone["quality"]), "three copies of an image are one"
    ridge = create(api, support[::5], options='{"solver": "ridge"}')["quality"]
    assert told(ridge) == told(alone["quality"]), "where a solver was not evaluated, the bundle's own solver was"


def test_a_bundle_that_was_not_evaluated_forecasts_only_what_was_judged(
    tmp_path: Path, shipped_bundle: Path, support: Labelled
) -> None:
    small_bundle(shipped_bundle, tmp_path, "small")
    file = tmp_path / "small" / "1" / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"evaluations": []}))
    flags = ("--bundles-dir", str(tmp_path), "--bundle", SMALL)
    with ServerProcess(tmp_path / "data", *flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        assert create(api, support[::5])["quality"]["forecast"] == []
        twice, five_times = told(create(api, support)["quality"])
    assert 0.0 < twice.accuracy <= five_times.accuracy < 1.0


def test_a_retry_of_what_an_earlier_release_answered_has_neither_forecast_nor_reliability(
    tmp_path: Path, small_flags: tuple[str, ...], support: Labelled
) -> None:
    with ServerProcess(tmp_path, *small_flags) as server, httpx.Client(base_url=server.url, timeout=60) as api:
        request = {**multipart(support[::5]), "headers": {"Idempotency-Key": "asked-before"}}
        first = api.post("/v1/tasks", **request).json()
        assert first["quality"]["forecast"]
        with statements_in(tmp_path) as database:
            kept = json.loads(database.execute(select(replays.c.body)).scalar_one())
            del kept["quality"]["forecast"], kept["quality"]["reliability"]
            database.execute(update(replays).values(body=json.dumps(kept)))
        again = api.post("/v1/tasks", **request)
    assert again.status_code == 201, again.text
    assert again.json()["quality"] == first["quality"] | {"forecast": [], "reliability": []}
