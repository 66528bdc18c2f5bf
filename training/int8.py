"""Whether the int8 version of a bundle in the making may stay: what it costs in accuracy, measured.

How much faster it is depends on the processor, so that each server measures it for itself (`models.engine`).
"""

from models.engine import Engine
from models.manifest import HeadOptions
from training.episodes import SHOTS
from training.scoring import Say, Scorer

MAX_LOSS = 0.003  # of accuracy, a share of one


def int8_passes(small: Engine, plain: Engine, scorer: Scorer, options: HeadOptions, say: Say) -> bool:
    """Whether int8 loses no more accuracy on validation episodes than is allowed."""
    accuracies = [[scorer.validation_accuracy(engine, options, shots) for engine in (plain, small)] for shots in SHOTS]
    loss = max(before - after for before, after in accuracies)
    passes = loss <= MAX_LOSS
    say(f"int8 {'kept' if passes else 'left out'}: loses {100 * loss:.2f} points (allowed {100 * MAX_LOSS:g})")
    return passes
