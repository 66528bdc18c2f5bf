"""Head defaults of networks that there are too few labelled images to choose any for."""

import math
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from models.bundle import DEFAULT_BUNDLE, SHIPPED, find_bundles, open_bundle
from models.heads.geometry import Geometry, LeftOutMeans
from models.heads.temperature import coefficients, options_for, support_terms
from models.manifest import Solver, SupportLaw
from tests.helpers.laws import NOVELTY_LAW, SUPPORT_LAW
from training.calibration import untuned


def embeddings_of(scatter: float, count: int = 400) -> np.ndarray:
    """Embeddings (N, 32) of eight groups, the more alike within and the less between them, the higher `scatter`."""
    rng = np.random.default_rng(0)
    groups = rng.standard_normal((8, 32)) * scatter
    rows: np.ndarray = (groups[rng.integers(0, 8, count)] + rng.standard_normal((count, 32))).astype(np.float32)
    return rows


def test_the_spread_is_the_deviation_of_cosines_by_hand() -> None:
    rows = embeddings_of(1.0, 30)
    mean = rows.mean(axis=0)
    centred = [row - mean for row in rows]
    cosines = [float(a @ b / np.sqrt((a @ a) * (b @ b))) for i, a in enumerate(centred) for j, b in enumerate(centred) if i < j]
    assert untuned.cosines_of(rows, mean)[True].spread == pytest.approx(np.std(cosines), rel=1e-4)


def test_defaults_of_another_network_are_scaled_by_the_spread_of_features() -> None:
    shipped = open_bundle(find_bundles(SHIPPED)[DEFAULT_BUNDLE])
    said: list[str] = []
    rows = embeddings_of(1.0)
    heads = untuned.untuned_heads(rows, rows.mean(axis=0), said.append)
    now, there = (untuned.cosines_of(*of) for of in ((rows, rows.mean(axis=0)), (shipped.background, shipped.feature_mean)))
    factor = now[True].spread / there[True].spread
    for solver in get_args(Solver):
        before, after = shipped.manifest.head.options(solver), heads.options(solver)
        assert after.temperature == pytest.approx(factor * before.temperature)
        assert (after.C, after.centre) == (before.C, before.centre)
    assert "several kinds of photograph" in said[0]
    assert f"temperatures times {factor:.2f}" in said[1]
    few = rows[:49]
    assert untuned.untuned_heads(few, few.mean(axis=0), said.append) == shipped.manifest.head
    assert "not scaled to this network, since that takes 50 images" in said[-1]


def test_the_defaults_are_the_shipped_bundles_with_its_laws(shipped_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network itself gets its own defaults back, and one of less spread the same law for lower temperatures."""
    monkeypatch.setattr(untuned, "find_bundles", lambda _: {DEFAULT_BUNDLE: shipped_bundle})
    bundle = open_bundle(shipped_bundle)
    said: list[str] = []
    again = untuned.untuned_heads(bundle.background, bundle.feature_mean, said.append)
    assert again == bundle.manifest.head
    assert DEFAULT_BUNDLE in said[0]
    cosines = untuned.cosines_of(bundle.background, bundle.feature_mean)
    half = untuned.scaled(bundle.manifest.head, 0.5, cosines, cosines)
    for ways, shots in ((5, 1), (20, 10)):
        rows, labels = bundle.background[: ways * shots].astype(np.float32), np.repeat(np.arange(ways), shots)
        before, after = (options_for(heads, "logistic", rows, labels, bundle.feature_mean) for heads in (again, half))
        assert after.temperature == pytest.approx(before.temperature / 2)


@pytest.mark.parametrize("shots", [1, 4])
def test_a_law_of_the_support_set_finds_in_another_network_what_it_knows(shots: int) -> None:
    """Where every cosine is 0.3 + 0.5 of what it was, the temperature is half of what it was."""
    there = {centre: untuned.Cosines(0.1, 0.2) for centre in (True, False)}
    now = {centre: untuned.Cosines(0.35, 0.1) for centre in (True, False)}
    law = untuned._carried(SUPPORT_LAW, math.log(0.5), there[False], now[False])
    assert isinstance(law, SupportLaw)
    left_out = None if shots == 1 else LeftOutMeans(-2.5, 0.8, 0.6)
    halved = None if shots == 1 else LeftOutMeans(-2.5 + math.log(0.5), 0.8, 0.6)
    counts = np.full(5, shots)
    apart = {"between": 0.2, "nearest": 0.4}
    before = Geometry(counts, **apart, left_out=left_out)
    if halved is not None:
        halved = replace(halved, within=0.3 + 0.5 * 0.6)
    after = Geometry(counts, **{name: 0.3 + 0.5 * value for name, value in apart.items()}, left_out=halved)
    was, is_ = (float(coefficients(one) @ support_terms(of)) for one, of in ((SUPPORT_LAW, before), (law, after)))
    assert is_ == pytest.approx(was + math.log(0.5))


def test_a_law_of_strangers_counts_in_the_networks_own_cosines() -> None:
    cosines = {centre: untuned.Cosines(0.1, 0.2) for centre in (True, False)}
    heads = open_bundle(find_bundles(SHIPPED)[DEFAULT_BUNDLE]).manifest.head.model_copy(update={"novelty": NOVELTY_LAW})
    law = untuned.scaled(heads, 0.5, cosines, cosines).novelty
    assert law == NOVELTY_LAW.model_copy(
        update={"kappa": 2 * NOVELTY_LAW.kappa, "floor": NOVELTY_LAW.floor / 2, "gain": NOVELTY_LAW.gain / 2}
    )
    assert untuned.scaled(heads.model_copy(update={"novelty": None}), 0.5, cosines, cosines).novelty is None
