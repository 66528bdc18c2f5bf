"""Temperatures that follow ways and shots: the law, its fit, and the bundle that carries it."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import MANIFEST, BundleError, open_bundle, replace_manifest
from models.heads import Float32, softmax
from models.manifest import HeadDefaults, TemperatureLaw, TemperatureLaws
from models.temperature import effective_shots, options_for, temperature
from tests.heads import options
from training.episodes import Embedded
from training.temperatures import likeliest_temperature, tune_temperatures

counts = st.lists(st.integers(1, 1000), min_size=2, max_size=50)
slopes = st.floats(-2, 2)
laws = st.builds(TemperatureLaw, **dict.fromkeys(TemperatureLaw.model_fields, slopes))
LAW = TemperatureLaw(intercept=-1.0, log_ways=-0.5, inverse_ways=0.4, log_shots=-0.25, inverse_shots=0.3)
DEFAULTS = HeadDefaults(logistic=options("logistic"), ridge=options("ridge"), prototype=options("prototype", temperature=0.5))


@settings(deadline=None)
@given(st.integers(1, 1000), st.integers(2, 50))
def test_equal_shots_are_themselves(shots: int, ways: int) -> None:
    assert effective_shots([shots] * ways) == pytest.approx(shots)


@settings(deadline=None)
@given(counts)
def test_effective_shots_lie_between_the_fewest_and_the_mean(examples: list[int]) -> None:
    assert min(examples) - 1e-9 <= effective_shots(examples) <= np.mean(examples) + 1e-9


@settings(deadline=None)
@given(counts)
def test_the_order_of_the_classes_does_not_matter(examples: list[int]) -> None:
    assert temperature(LAW, sorted(examples)) == pytest.approx(temperature(LAW, examples))


def test_the_law_is_its_formula() -> None:
    assert temperature(LAW, [4] * 16) == pytest.approx(math.exp(-1.0 + 0.4 / 16 + 0.3 / 4) * 16**-0.5 * 4**-0.25)


@settings(deadline=None)
@given(laws, counts)
def test_any_law_gives_a_temperature_that_options_take(law: TemperatureLaw, examples: list[int]) -> None:
    found = temperature(law, examples)
    assert options(temperature=found).temperature == found


def test_defaults_take_the_temperature_of_their_solvers_law() -> None:
    assert options_for(DEFAULTS, "prototype", [1, 1]) == DEFAULTS.prototype
    other = LAW.model_copy(update={"intercept": 0.5})
    with_laws = DEFAULTS.model_copy(update={"temperatures": TemperatureLaws(logistic=LAW, ridge=LAW, prototype=other)})
    assert options_for(with_laws, None, [3, 1]) == options("logistic", temperature=temperature(LAW, [3, 1]))
    assert options_for(with_laws, "prototype", [3, 1]) == options("prototype", temperature=temperature(other, [3, 1]))


@settings(deadline=None, max_examples=25)
@given(st.floats(0.02, 50), st.integers(2, 10), st.integers(0, 100))
def test_the_likeliest_temperature_is_that_of_the_labels(true: float, ways: int, seed: int) -> None:
    """Labels drawn with the probabilities of a temperature are likeliest under one near it, and under none nearby more."""
    rng = np.random.default_rng(seed)
    scores: Float32 = (true * 2.0 * rng.normal(size=(3000, ways))).astype(np.float32)
    cumulated = softmax(scores, true).cumsum(axis=1)
    labels = np.minimum((rng.random((3000, 1)) > cumulated).sum(axis=1), ways - 1)

    def loss(tried: float) -> float:
        return float(-np.log(softmax(scores, tried)[np.arange(3000), labels]).mean())

    found = likeliest_temperature(scores, labels)
    assert found == pytest.approx(true, rel=0.25)
    assert loss(found) <= min(loss(found * 1.02), loss(found / 1.02))


@pytest.mark.parametrize(("classes", "images"), [(5, 20), (12, 50)])
def test_laws_are_fitted_on_whatever_classes_there_are(classes: int, images: int) -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(classes, 32)), images, axis=0)
    embeddings = (centres + 1.5 * rng.normal(size=centres.shape)).astype(np.float32)
    data = Embedded(embeddings, [np.arange(images * k, images * (k + 1)) for k in range(classes)])
    found = tune_temperatures([data], embeddings.mean(axis=0), DEFAULTS)
    # Class means of more examples err less: their scores say more, and are to be believed more.
    assert temperature(found.prototype, [10] * 5) < temperature(found.prototype, [1] * 5)


def test_a_manifest_without_laws_opens_and_one_with_them_is_read_back(shipped_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(shipped_bundle, tmp_path / "bundle"))
    document = json.loads((bundle / MANIFEST).read_text())
    document["head"].pop("temperatures", None)
    (bundle / MANIFEST).write_text(json.dumps(document))
    before = open_bundle(bundle).manifest
    assert before.head.temperatures is None
    found = TemperatureLaws(logistic=LAW, ridge=LAW, prototype=LAW)
    replace_manifest(bundle, before.model_copy(update={"head": before.head.model_copy(update={"temperatures": found})}))
    after = open_bundle(bundle).manifest
    assert after.head.temperatures == found
    assert after.files == before.files
    assert {path.name for path in bundle.iterdir()} == {MANIFEST, *after.files}


def test_a_manifest_that_cannot_be_written_stays_as_it_was(shipped_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot write"):
        replace_manifest(tmp_path / "nowhere", open_bundle(shipped_bundle).manifest)
