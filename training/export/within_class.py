"""A last linear layer after which images of one class vary alike in every direction.

Within-class covariance normalisation (Hatch, Kajarekar & Stolcke, Within-class covariance normalization for SVM-based speaker
recognition, Interspeech 2006). A head of few examples cannot see the directions along which images of one class differ; the base
classes can. The directions that the base images use most are kept.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Float32
from training.evaluation.episodes import Embedded

# The share of the covariance that is replaced by an equal variance in every direction. It is large, so that the projection also
# holds for classes of other kinds.
_SHRINKAGE = 0.6


def within_class_projection(datasets: Sequence[Embedded], width: int) -> Float32:
    """Returns the matrix (D, width) to multiply embeddings (N, D) by. Each dataset counts alike, however many images it has.

    Args:
        datasets: base classes of two images or more, embeddings (N, D).
        width: at most D.
    """
    units = [_units(data.embeddings.astype(np.float64)) for data in datasets]
    covariance_DD = np.mean([_within(data, unit) for data, unit in zip(datasets, units, strict=True)], axis=0)
    variances_D, axes_DD = np.linalg.eigh(covariance_DD)
    shrunk_D = (1.0 - _SHRINKAGE) * np.maximum(variances_D, 0.0) + _SHRINKAGE / len(variances_D)
    normalised_DD = axes_DD / np.sqrt(shrunk_D) @ axes_DD.T
    used_DD = np.mean([_second_moment(_units(unit @ normalised_DD)) for unit in units], axis=0)
    _, directions_DD = np.linalg.eigh(used_DD)  # in ascending order
    matrix_DW: Float32 = (normalised_DD @ directions_DD[:, ::-1][:, :width]).astype(np.float32)
    return matrix_DW


def _units(rows_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    units: NDArray[np.float64] = rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-12)
    return units


def _within(data: Embedded, units_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the pooled covariance (D, D) of one dataset's classes, of trace one."""
    residuals = np.concatenate([units_ND[own] - units_ND[own].mean(axis=0) for own in data.by_class])
    scatter = residuals.T @ residuals
    covariance: NDArray[np.float64] = scatter / np.trace(scatter)
    return covariance


def _second_moment(rows_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    moment: NDArray[np.float64] = rows_ND.T @ rows_ND / len(rows_ND)
    return moment
