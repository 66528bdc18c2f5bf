"""What goes into the tables of refreshes and what comes out of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from models.heads.head import BackboneRef

RefreshState = Literal["running", "paused", "cancelled", "finished", "failed", "rolling_back", "rolled_back"]

Outcome = Literal["waiting", "moved", "kept", "unchanged", "gone", "failed", "skipped", "returning", "returned", "not_returned"]
"""What became of a task. `waiting` and `returning` are still to be moved and to be returned; `kept` falls by too much, or nothing
speaks for its move; `unchanged` was on the bundle already; `skipped` was waiting when the refresh was cancelled or failed."""

PENDING: tuple[Outcome, ...] = ("waiting", "returning")
MOVED_ONCE: tuple[Outcome, ...] = ("returning", "returned", "not_returned")
"""Those of tasks that a rollback is about."""

RefreshAction = Literal["pause", "resume", "cancel", "rollback"]


class RefreshStopped(Exception):
    """The refresh was paused or cancelled, or the task deleted, meanwhile: nothing was written."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How good a task is before and after, told of the same examples.

    Attributes:
        by: `leave-one-out` or `20 folds` of the support set; `evaluations`, the bundles' own, where no example could be judged;
            or `nothing`.
        judged: how many examples were.
        before, after: shares; None where they could not be told.
    """

    by: str
    judged: int
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was done or was not: a stable code, and what to tell people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class RefreshNote:
    """What is to be written of a task that is not pending any more; what is None stays as it was."""

    refresh: str
    outcome: Outcome
    version_before: int | None = None
    backbone_before: BackboneRef | None = None
    version_after: int | None = None
    version_returned: int | None = None
    judgement: Judgement | None = None
    reason: Reason | None = None

    def with_version(self, number: int) -> "RefreshNote":
        """The note of a task that was moved, or returned, by making this version the active one."""
        if self.outcome == "moved":
            return replace(self, version_after=number)
        return replace(self, version_returned=number)


@dataclass(frozen=True, slots=True)
class RefreshJob:
    """A refresh to go on with; `state` is `running` or `rolling_back`."""

    tenant: str
    id: str
    bundle: str
    max_drop: float
    state: RefreshState


@dataclass(frozen=True, slots=True)
class RefreshTask:
    """A task of a refresh. `images` is the size of its support set when the refresh was asked for."""

    task: str
    outcome: Outcome
    images: int
    version_before: int | None
    backbone_before: BackboneRef | None
    version_after: int | None
    version_returned: int | None
    judgement: Judgement | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh and how far it is.

    Attributes:
        tasks: how many there are of each outcome that there is.
        images, images_done: of the tasks that it moves or, once it is rolled back, returns.
        judged: how many tasks' support sets told an accuracy; `before` and `after` are its means over those, None without any.
    """

    id: str
    bundle: str
    max_drop: float
    state: RefreshState
    reason: Reason | None
    created_at: datetime
    updated_at: datetime
    tasks: Mapping[Outcome, int]
    images: int
    images_done: int
    judged: int
    before: float | None
    after: float | None
