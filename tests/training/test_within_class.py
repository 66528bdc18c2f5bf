"""The projection after which what varies within classes varies alike in every direction."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.covariance import EmpiricalCovariance
from sklearn.preprocessing import normalize

from training.evaluation.episodes import Embedded
from training.export.within_class import within_class_projection

SHRINKAGE = 0.6


def classes_of(dim: int, counts: list[int], seed: int) -> Embedded:
    """Classes that vary more along the first axes."""
    rng = np.random.default_rng(seed)
    spread = np.geomspace(3, 0.1, dim)
    parts = [rng.normal(size=dim) + spread * rng.normal(size=(count, dim)) for count in counts]
    ends = np.cumsum(counts)
    return Embedded(np.concatenate(parts).astype(np.float32), np.split(np.arange(ends[-1]), ends[:-1]))


def shrunk_covariance(data: Embedded) -> NDArray[np.float64]:
    units = normalize(data.embeddings.astype(np.float64))
    residuals = np.concatenate([units[own] - units[own].mean(axis=0) for own in data.by_class])
    covariance = EmpiricalCovariance(assume_centered=True).fit(residuals).covariance_
    dim = len(covariance)
    shrunk: NDArray[np.float64] = (1 - SHRINKAGE) * covariance / np.trace(covariance) + SHRINKAGE / dim * np.eye(dim)
    return shrunk


def test_at_full_width_cosines_are_those_of_the_inverse_shrunk_covariance() -> None:
    data = classes_of(8, [30, 20, 40], seed=0)
    matrix = within_class_projection([data], 8)
    np.testing.assert_allclose(matrix @ matrix.T, np.linalg.inv(shrunk_covariance(data)), rtol=1e-4, atol=1e-4)


def test_datasets_count_alike_however_many_images_they_have() -> None:
    few, many = classes_of(6, [5, 5], seed=1), classes_of(6, [400, 300], seed=2)
    matrix = within_class_projection([few, many], 6)
    wanted = np.linalg.inv((shrunk_covariance(few) + shrunk_covariance(many)) / 2)
    np.testing.assert_allclose(matrix @ matrix.T, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [1, 3, 5])
def test_the_directions_kept_are_those_that_the_images_use_most(width: int) -> None:
    data = classes_of(8, [30, 20, 40], seed=3)
    whole, kept = within_class_projection([data], 8), within_class_projection([data], width)
    assert kept.shape == (8, width)
    rows = normalize(data.embeddings.astype(np.float64) @ whole)
    most = (np.linalg.svd(rows, compute_uv=False)[:width] ** 2).sum() / len(rows)
    scale = np.linalg.norm(data.embeddings @ whole, axis=1)
    assert np.mean((np.linalg.norm(data.embeddings @ kept, axis=1) / scale) ** 2) == pytest.approx(most, rel=1e-4)
