"""Ways to fit a task's head, side by side: response bodies."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from server.schemas.base import TASK_ID, Reply
from server.schemas.predictions import ProblemInPlace
from server.schemas.quality import Interval
from server.schemas.replies import HeadReply


class Difference(Reply):
    """A candidate beside the active version, on the same examples."""

    accuracy: float = Field(description="the candidate's less the active version's")
    interval: Annotated[tuple[float, float], Field(description="95 % interval of that, for paired examples")]
    gained: int = Field(description="examples that the candidate recognises and the active version does not")
    lost: int = Field(description="examples that the active version recognises and the candidate does not")
    log_loss: float = Field(description="the candidate's less the active version's: less than 0 is better")
    log_loss_interval: tuple[float, float] | None = Field(description="95 % interval of that; null of fewer than five examples")


class CandidateReply(Reply):
    """One way to fit the task's head, judged on the examples of the active version."""

    current: bool = Field(description="this is the active version as it is")
    backbone: str
    head: HeadReply
    method: str = Field(description="`leave-one-out`, which is exact, or above 500 examples `20 folds`")
    judged: int = Field(description="examples that could be judged: all but those of classes with one group")
    recognised: int
    accuracy: float | None = Field(
        description="share of those that were recognised, each group counting as one; null if there are none"
    )
    interval: Interval
    log_loss: float | None = Field(
        description="mean of -log p, p the probability of an example's own label: 0 for being sure and right, 0.69 for even odds"
    )
    difference: Difference | None = Field(description="to the active version; null of that itself, and if nothing was judged")
    milliseconds: float = Field(description="what judging it took, without embedding")

    EXAMPLE: ClassVar[Any] = {
        "current": True,
        "backbone": "name@1",
        "head": HeadReply.EXAMPLE,
        "method": "leave-one-out",
        "judged": 10,
        "recognised": 8,
        "accuracy": 0.8,
        "interval": [0.49, 0.943],
        "log_loss": 0.61,
        "difference": None,
        "milliseconds": 1.7,
    }


class FailedCandidate(Reply):
    """A candidate that cannot be tried; the others are unaffected."""

    backbone: str
    error: ProblemInPlace

    EXAMPLE: ClassVar[Any] = {
        "backbone": "other@1",
        "error": {"code": "backbone_not_found", "detail": "there is no backbone 'other@1' on this server"},
    }


class ComparisonReply(Reply):
    """The active version, then the candidates in the order asked. Nothing was stored."""

    task: str
    version: int = Field(description="the active version, to which all are compared")
    candidates: list[CandidateReply | FailedCandidate]
    best: int = Field(
        description="which of `candidates`, from 0, recognised most examples and, of as many, was surest of their labels; 0, the "
        "active version, where none is better"
    )
    advice: str = Field(description="which is better, and whether chance would explain it")
    timing_ms: dict[str, float] = Field(description="embed, fit, total")

    EXAMPLE: ClassVar[Any] = {
        "task": TASK_ID,
        "version": 1,
        "candidates": [
            CandidateReply.EXAMPLE,
            {
                **CandidateReply.EXAMPLE,
                "current": False,
                "head": {"solver": "prototype", "C": 1.0, "temperature": 0.08, "centre": True},
                "recognised": 9,
                "accuracy": 0.9,
                "interval": [0.596, 0.982],
                "log_loss": 0.42,
                "difference": {
                    "accuracy": 0.1,
                    "interval": [-0.202, 0.4],
                    "gained": 1,
                    "lost": 0,
                    "log_loss": -0.19,
                    "log_loss_interval": [-0.41, 0.03],
                },
                "milliseconds": 0.3,
            },
            FailedCandidate.EXAMPLE,
        ],
        "best": 1,
        "advice": "Candidate 1 (prototype, C = 1, name@1) recognised 9 of 10 examples, 1 more than the active version, which may "
        "be chance: more examples would tell.",
        "timing_ms": {"fit": 2.1, "embed": 0.4, "total": 3.6},
    }
