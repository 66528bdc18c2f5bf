"""A bundle's evaluations on novel classes, for tasks that nothing else can judge."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from models.engine import file_of
from models.manifest import Manifest, Solver
from server.engine.backbone import ServedBackbone


class Setting(NamedTuple):
    """An evaluated setting: episodes of so many classes, and so many examples of each."""

    dataset: str
    ways: int
    shots: int


def accuracies(backbone: ServedBackbone, solver: Solver) -> Mapping[Setting, float]:
    """Returns `accuracies_of` the file that serves."""
    return accuracies_of(backbone.bundle.manifest, file_of(backbone.kind), solver)


def accuracies_of(manifest: Manifest, file: str, solver: Solver) -> Mapping[Setting, float]:
    """Returns accuracies on novel classes, of this file where that was evaluated, and else of another of the bundle's."""
    tests = [each for each in manifest.evaluations if each.part == "test" and each.solver == solver]
    tests.sort(key=lambda each: each.file == file)
    return {Setting(each.dataset, each.ways, each.shots): each.accuracy for each in tests}


def distance(setting: Setting, ways: int, examples: int) -> float:
    """Returns the distance of a task from a setting: in the logarithms of its number of classes, and of its examples a class."""
    return abs(math.log(setting.ways / ways)) + abs(math.log(setting.shots / (examples / ways)))
