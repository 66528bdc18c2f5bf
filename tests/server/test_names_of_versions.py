"""Class names inside a server: what a version keeps of them, when they are weighed anew, and how they are embedded at once."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from models.bundle import Bundle, open_bundle
from models.heads.head import BackboneRef, Float32
from server.engine.class_names import ClassNames
from server.journeys import head_options
from server.journeys.class_names import weighed
from server.journeys.head_options import chosen_again
from server.store.records import ClassCount, FittedOptions, Version
from tests.helpers.named_tasks import COLOURS, added, examples, named, picture, sizes, without_the_extra
from tests.helpers.servers import ServerProcess
from tests.helpers.text_bundles import text_bundle, vector_of
from tests.helpers.uploads import as_json, multipart, predict

_DIM = 48


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, shipped_bundle: Path) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles")
    name, version = text_bundle(shipped_bundle, folder, "reads").split("@")
    return open_bundle(folder / name / version)


def fitted(**fields: Any) -> FittedOptions:
    return FittedOptions(**{"C": 1.0, "temperature": 0.5, "centre": False, "asked": (), **fields})


def version_of(sizes: Sequence[int], name_weight: float | None) -> Version:
    classes = tuple(ClassCount(label, size) for label, size in zip(COLOURS, sizes, strict=True))
    options = fitted(name_weight=name_weight)
    return Version(1, True, "created", BackboneRef("reads@1", "0" * 64), classes, 0, options, datetime.now(UTC), None)


def test_a_name_is_found_while_another_is_embedded(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bundle.manifest.text is not None
    names = ClassNames(bundle, bundle.manifest.text, 1)
    red = names.prior(["red"]).vectors
    begun, goes_on, embed = threading.Event(), threading.Event(), names._encoder.embed
    asked: list[str] = []

    def slowly(some: Sequence[str]) -> Float32:
        asked.extend(some)
        begun.set()
        assert goes_on.wait(20)
        return embed(some)

    monkeypatch.setattr(names._encoder, "embed", slowly)
    with ThreadPoolExecutor(3) as threads:
        both = [threads.submit(names.prior, ["green", "red"]) for _ in range(2)]
        try:
            assert begun.wait(20)
            found = threads.submit(names.prior, ["red"]).result(20)
        finally:
            goes_on.set()
        np.testing.assert_array_equal(found.vectors, red)
        for each in both:
            np.testing.assert_allclose(each.result().vectors, [vector_of(name, _DIM) for name in ("green", "red")], atol=1e-6)
    assert asked == ["green"], "each name is embedded once"


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ((40, 40, 40), (41, 40, 40), True),
        ((40, 40, 40), (40, 40, 39), True),
        ((33, 33, 33), (34, 33, 33), False),
        ((42, 42, 43), (43, 42, 43), False),
        ((1, 1, 1), (100, 100, 100), False),
        ((70, 60, 0), (70, 60, 1), False),
        ((40, 40, 40), (60, 60), False),
    ],
    ids=["added", "removed", "few", "a power of two", "many at once", "names alone before", "another set of classes"],
)
def test_a_weight_stays_while_few_of_many_examples_change(before: Sequence[int], after: Sequence[int], kept: bool) -> None:
    labels = [label for label, size in zip(COLOURS, after, strict=False) for _ in range(size)]

    class Asked(Exception):
        """The names are embedded to be weighed."""

    def embedded(_: Sequence[str]) -> None:
        raise Asked

    backbone: Any = SimpleNamespace(class_names=SimpleNamespace(prior=embedded))
    embeddings = np.zeros((len(labels), _DIM), np.float32)
    if kept:
        found = weighed(fitted(), labels, embeddings, backbone, version_of(before, 0.25))
        assert found.name_weight == 0.25
    else:
        with pytest.raises(Asked):
            weighed(fitted(), labels, embeddings, backbone, version_of(before, 0.25))
    with pytest.raises(Asked):
        weighed(fitted(), labels, embeddings, backbone, None)
    with pytest.raises(Asked):
        weighed(fitted(), labels, embeddings, backbone, version_of(before, None))


def test_what_class_names_add_is_stored_only_where_there_are_some() -> None:
    plain, of_names = fitted(), fitted(named=("red",), name_weight=0.0, for_images=fitted(temperature=0.25))
    assert plain.stored() == {"solver": "logistic", "C": 1.0, "temperature": 0.5, "centre": False, "asked": ()}
    assert plain == FittedOptions(**plain.stored())
    assert FittedOptions(**of_names.stored()).stored() == of_names.stored()
    assert of_names.stored().keys() == FittedOptions.model_fields.keys()


def test_a_server_that_cannot_read_lets_a_class_without_images_go(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    before, labels = fitted(named=tuple(COLOURS), name_weight=0.5), ["red", "green"]
    embeddings = np.eye(2, _DIM, dtype=np.float32)
    assert chosen_again(before, None, bundle, labels, embeddings).named == tuple(COLOURS)
    monkeypatch.setattr(head_options, "can_read_text", lambda: False)
    found = chosen_again(before, None, bundle, labels, embeddings)
    assert (found.named, found.name_weight) == (("red", "green"), None)


@pytest.mark.slow
def test_a_version_answers_after_a_restart_also_without_the_extra(bundle: Bundle, tmp_path: Path) -> None:
    flags = ("--bundles-dir", str(bundle.path.parent.parent), "--bundle", bundle.id)
    image = picture("blue", 1)
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as before:
        task, empty = named(before)["id"], named(before)["id"]
        full = named(before, COLOURS[:2], examples=as_json(examples(2))["json"]["examples"][::3][:2])["id"]
        said = predict(before, task, [image])
    with ServerProcess(tmp_path / "data", *flags) as process, httpx.Client(base_url=process.url, timeout=60) as after:
        assert predict(after, task, [image]) == said
        assert sizes(added(after, task, examples(1))) == dict.fromkeys(COLOURS, 1)
    lacking = ServerProcess(tmp_path / "data", *flags, prepare=without_the_extra)
    with lacking as process, httpx.Client(base_url=process.url, timeout=60) as blind:
        assert predict(blind, task, [image])[0]["label"] == "blue"
        kept = blind.post(f"/v1/tasks/{empty}/examples", **multipart(examples(1)[:1]))
        assert (kept.status_code, kept.json()["code"]) == (503, "engine_failed"), "no class is lost"
        example = blind.get(f"/v1/tasks/{full}/examples").json()["examples"][0]["id"]
        last = blind.delete(f"/v1/tasks/{full}/examples/{example}")
        assert (last.status_code, last.json()["code"]) == (422, "too_few_classes"), last.text
        assert "needs the extra `text`" in process.log()
