"""Request and response bodies of refreshes."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta
from pydantic import Field

from server.schemas.base import OTHER_TASK_ID, TASK_ID, TIME, Reply, Request
from server.schemas.predictions import ProblemInPlace
from server.store.refresh_records import Outcome, RefreshState


class RefreshBody(Request, frozen=True):
    """`POST /v1/refreshes`."""

    to: Annotated[str, Meta(description="name@version of the bundle that the tasks are moved to")]
    tasks: Annotated[Annotated[list[str], Meta(min_length=1)] | Literal["all"], Meta(description="ids, or `all`")] = "all"
    max_drop: Annotated[
        float,
        Meta(ge=0, le=1, description="how far a task's accuracy may fall; one that falls further stays; at 1 none does"),
    ] = 0.02


class DoneOf(Reply):
    done: int
    total: int


class MeanAccuracy(Reply):
    """Means over tasks, each judged before and after by the same examples, left out of its support set."""

    tasks: int
    before: float
    after: float


class RefreshReply(Reply):
    """A refresh, and how far it is."""

    id: str
    to: str
    max_drop: float
    state: RefreshState
    reason: ProblemInPlace | None = Field(description="why it failed")
    tasks: dict[Outcome, int] = Field(description="how many tasks of each outcome there are; what there is none of is left out")
    images: DoneOf = Field(description="support images of those tasks; of a rollback, of the tasks that were moved")
    images_per_second: float | None = Field(description="of the last half minute; null while nothing is under way")
    seconds_left: float | None = Field(description="at that rate")
    accuracy: MeanAccuracy | None = Field(description="of the tasks judged so far, moved or kept; null without any")
    created_at: datetime
    updated_at: datetime = Field(description="when the state last changed")

    EXAMPLE: ClassVar[Any] = {
        "id": "refresh_01kam1d5x7c9v2b4n6m8q0w3er",
        "to": "name@2",
        "max_drop": 0.02,
        "state": "running",
        "reason": None,
        "tasks": {"waiting": 120, "moved": 371, "kept": 7, "gone": 1, "failed": 1},
        "images": {"done": 9480, "total": 12480},
        "images_per_second": 212.4,
        "seconds_left": 14.1,
        "accuracy": {"tasks": 378, "before": 0.861, "after": 0.912},
        "created_at": TIME,
        "updated_at": TIME,
    }


class RefreshPage(Reply):
    """Newest first."""

    refreshes: list[RefreshReply]
    next_cursor: str | None = Field(description="pass as `cursor` for the next page; null on the last")

    EXAMPLE: ClassVar[Any] = {"refreshes": [RefreshReply.EXAMPLE], "next_cursor": None}


class RefreshVersions(Reply):
    """The task's versions: active before, made by the refresh, made active by the rollback."""

    before: int | None
    after: int | None
    returned: int | None


class RefreshAccuracy(Reply):
    judged_by: str = Field(
        description="`leave-one-out` or `20 folds` of the support set; where no example can be judged so, `evaluations`: the "
        "mean of those that both bundles have of the same datasets, at the nearest way and shot; or `nothing`"
    )
    judged: int = Field(description="how many examples, the same before and after")
    before: float | None
    after: float | None = Field(description="on the other bundle, also where the task was not moved there")


class RefreshTaskReply(Reply):
    """The outcome of a refresh for one task."""

    task: str
    outcome: Outcome
    images: int
    backbone_before: str | None
    versions: RefreshVersions
    accuracy: RefreshAccuracy | None
    reason: ProblemInPlace | None = Field(description="why that became of it; null while it is pending, and of old refreshes")


class RefreshTaskPage(Reply):
    """The oldest task first."""

    tasks: list[RefreshTaskReply]
    next_cursor: str | None = Field(description="pass as `cursor` for the next page; null on the last")

    EXAMPLE: ClassVar[Any] = {
        "tasks": [
            {
                "task": TASK_ID,
                "outcome": "moved",
                "images": 10,
                "backbone_before": "name@1",
                "versions": {"before": 1, "after": 2, "returned": None},
                "accuracy": {"judged_by": "leave-one-out", "judged": 10, "before": 0.8, "after": 0.9},
                "reason": None,
            },
            {
                "task": OTHER_TASK_ID,
                "outcome": "kept",
                "images": 20,
                "backbone_before": "name@1",
                "versions": {"before": 3, "after": None, "returned": None},
                "accuracy": {"judged_by": "leave-one-out", "judged": 20, "before": 0.95, "after": 0.9},
                "reason": {"code": "accuracy_fell", "detail": "accuracy would fall from 0.950 to 0.900, by more than 0.02"},
            },
        ],
        "next_cursor": None,
    }
