"""The parts of an answer: the classes by probability, and whether an image is known. The server and scoring share them."""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Reals

APPLIES = 0.5  # the least probability of a label that an image gets, where it may have several
JUST_UNKNOWN = 0.5001  # as it is told


def verdict_of(novelty: float) -> tuple[bool, float]:
    """Returns whether an image is known, and its novelty as it is told. It is rounded first, so that the two agree."""
    told = round(novelty, 4)
    return told <= 0.5, told


def novelty_of_labels(probabilities: NDArray[np.float64]) -> Reals:
    """Returns the novelty (N,) of images that may have any number of K labels: one less the highest probability (N, K).

    It is told by `verdict_of`, so that an image is known exactly where its highest probability is at least ½.
    """
    highest = probabilities.max(axis=1)
    novelty: Reals = np.where(highest >= APPLIES, np.minimum(1.0 - highest, 0.5), np.maximum(1.0 - highest, JUST_UNKNOWN))
    return novelty


def ranked(probabilities: NDArray[np.float64], top_k: int | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns the classes by probability, the most probable first.

    Args:
        probabilities: (…, K).
        top_k: how many to keep; None is all.

    Returns:
        The positions of the classes and their probabilities, (…, min(top_k, K)) each.
    """
    # A stable sort, so that of equally probable labels the task's first wins, here as in the offline evaluation.
    negated = -probabilities
    ranking = negated.argsort(axis=-1, kind="stable")[..., :top_k]
    negated.sort(axis=-1)
    return ranking, -negated[..., :top_k]
