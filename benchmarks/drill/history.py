"""The knowledge of the clients of a drill: which version of a task was active when, what it was taught, and its answers."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Head

STALE_SECONDS = 0.5
"""For so long a server may not know of a change that another one made."""

Taught = Counter[tuple[str, str]]
"""Examples by label and the sha256 of their image."""


@dataclass(frozen=True, slots=True)
class Step:
    """A change of which version is active.

    Attributes:
        version: that is active from then on; None if the task was deleted.
        began, ended: it happened at some time between these two: when it was first asked for, and when it was acknowledged.
        token: `Headstart-At-Least` of the answer.
    """

    version: int | None
    began: float
    ended: float
    token: int


@dataclass(eq=False)
class Task:
    """A task, as those who changed it know it. Whoever changes it holds `changing`.

    Attributes:
        taught: by version, what it was taught; without versions that are gone.
        heads: by version, read from the database itself.
        open: True if nobody knows whether a change was made, or when: then nothing is concluded from it any more.
    """

    id: str
    steps: list[Step] = field(default_factory=list)
    taught: dict[int, Taught] = field(default_factory=dict)
    heads: dict[int, Head] = field(default_factory=dict)
    open: bool = False
    changing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def path(self) -> str:
        return f"/v1/tasks/{self.id}"

    @property
    def version(self) -> int | None:
        """The version that is active."""
        return self.steps[-1].version

    def may_answer(self, version: int | None, sent: float, received: float, token: int) -> bool:
        """Returns whether an answer may come from a version: it was active at some time from half a second before the request on.

        A change whose token the request brought is known at once.

        Args:
            version: None where the answer was that there is no such task.
        """
        followers = [*self.steps[1:], Step(None, inf, inf, 0)]
        return any(
            step.version == version
            and step.began <= received
            and after.ended >= sent - (0.0 if after.token <= token else STALE_SECONDS)
            for step, after in zip(self.steps, followers, strict=True)
        )

    def forget(self, sha256: str) -> None:
        """Drops every version that was taught this image."""
        for version in [version for version, taught in self.taught.items() if any(sha == sha256 for _, sha in taught)]:
            del self.taught[version]


def expected_scores(head: Head, embedding: NDArray[np.float32], mean: NDArray[np.float32]) -> dict[str, float]:
    """Returns softmax((W f + b) / T) by label, where f is the embedding, centred if the head asks for it, and of length 1."""
    centred = embedding.astype(np.float64) - (mean if head.options.centre else 0.0)
    logits = (head.weight.astype(np.float64) @ (centred / np.linalg.norm(centred)) + head.bias) / head.options.temperature
    exponentials = np.exp(logits - logits.max())
    return dict(zip(head.labels, (exponentials / exponentials.sum()).tolist(), strict=True))


def differs(scores: Mapping[str, float], expected: Mapping[str, float], tolerance: float = 2e-3) -> bool:
    """Returns whether scores are not those that are expected."""
    return scores.keys() != expected.keys() or any(abs(scores[label] - expected[label]) > tolerance for label in scores)
