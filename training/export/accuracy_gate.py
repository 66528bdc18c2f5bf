"""Decides whether a new bundle keeps a version of less precision, int8 or float16, by the measured loss of accuracy.

Its speed depends on the machine, so each server measures that for itself (`models.engine`).
"""

import numpy as np

from models.engine import Engine, embed_all
from models.heads.head import Float32, features
from models.images.preprocess import Pixels
from models.manifest import HeadOptions
from training.calibration.scoring import Say, Scorer
from training.evaluation.episodes import SHOTS

MAX_LOSS = 0.003  # of accuracy, a share of one
MIN_AGREEMENT = 0.97  # see decision 0038


def loses_little(name: str, small: Engine, plain: Engine, scorer: Scorer, options: HeadOptions, say: Say) -> bool:
    """Returns whether a version of less precision loses no more accuracy on validation episodes than is allowed."""
    accuracies = [[scorer.validation_accuracy(engine, options, shots) for engine in (plain, small)] for shots in SHOTS]
    loss = max(before - after for before, after in accuracies)
    passes = loss <= MAX_LOSS
    say(f"{name} {'kept' if passes else 'left out'}: loses {100 * loss:.2f} points (allowed {100 * MAX_LOSS:g})")
    return passes


def agrees(name: str, small: Engine, plain: Engine, mean: Float32, pixels: Pixels, say: Say) -> bool:
    """Returns whether a version of less precision makes nearly the same features as float32, for images of unknown classes.

    Args:
        mean: (D,) the bundle's feature mean.
        pixels: uint8 (N, H, W, 3).
    """
    likeness = agreement(embed_all(small, pixels), embed_all(plain, pixels), mean)
    passes = likeness >= MIN_AGREEMENT
    needed = f"needed {MIN_AGREEMENT:g}, since without classes its accuracy cannot be measured"
    say(f"{name} {'kept' if passes else 'left out'}: its features have a cosine of {likeness:.3f} to float32's ({needed})")
    return passes


def agreement(first: Float32, second: Float32, mean: Float32) -> float:
    """Returns the mean cosine between the centred features of two embeddings (N, D) of the same images."""
    return float(np.mean(np.sum(features(first, mean) * features(second, mean), axis=1)))
