"""The entries of the meta-learning methods. The file of each method ends with its `METHOD`; `methods` finds them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from training.entries import entries
from training.objectives.episodic import EpisodicObjective
from training.objectives.inner_loop import InnerLoopObjective

Family = Literal["optimisation", "metric", "black box"]
MetaObjective = EpisodicObjective | InnerLoopObjective


@dataclass(frozen=True)
class Episodes:
    """The episodes of training.

    Attributes:
        tasks: T, episodes of a step of the optimiser.
        shots: support images of each class; successive steps take them in turn.
        queries: of each class.
        ways: K, classes of each episode.
    """

    tasks: int
    shots: tuple[int, ...]
    queries: int
    ways: int = 5


@dataclass(frozen=True)
class Published:
    """Published accuracy on the novel classes of CIFAR-FS with Conv-4, 5 ways.

    Attributes:
        source: where it was published, or why no figure can be compared.
        accuracy: shots -> share of one; empty where none was published.
    """

    source: str
    accuracy: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class MetaMethod:
    """One method.

    Attributes:
        objective: makes it from D, the width of the embedding, and K, the ways of use.
    """

    name: str
    family: Family
    objective: Callable[[int, int], MetaObjective]
    episodes: Episodes
    published: Published


def methods() -> dict[str, MetaMethod]:
    """Returns the methods of `training/objectives/` by name."""
    return entries("training.objectives", MetaMethod)
