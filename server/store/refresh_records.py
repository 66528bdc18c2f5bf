"""The records that the tables of refreshes take and return."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from models.heads.head import BackboneRef

RefreshState = Literal["running", "paused", "cancelled", "finished", "failed", "rolling_back", "rolled_back"]

Outcome = Literal["waiting", "moved", "kept", "unchanged", "gone", "failed", "skipped", "returning", "returned", "not_returned"]
"""The outcome for a task. A task that is `waiting` is still to be moved; one that is `returning` is still to be returned. A task
is `kept` if its accuracy would fall by too much, or if nothing speaks for the move. It is `unchanged` if it was on the bundle
already. It is `skipped` if it was waiting when the refresh was cancelled or failed."""

PENDING: tuple[Outcome, ...] = ("waiting", "returning")
MOVED_ONCE: tuple[Outcome, ...] = ("returning", "returned", "not_returned")
"""The outcomes of the tasks that a rollback returns."""

RefreshAction = Literal["pause", "resume", "cancel", "rollback"]


class RefreshStopped(Exception):
    """The refresh was paused or cancelled meanwhile, the task was deleted, or another server claimed it. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The accuracy of a task before and after, on the same examples.

    Attributes:
        by: `leave-one-out` or `20 folds` of the support set; `evaluations` (the bundles' own) if no example could be judged;
            or `nothing`.
        judged: the number of examples that were judged.
        before, after: shares; None if they could not be estimated.
    """

    by: str
    judged: int
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason why something was done or not: a stable code, and a text for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class RefreshNote:
    """The changes to the row of a task that is not pending any more. Fields that are None stay as they were.

    Attributes:
        lease: the id of the lease under which the task is claimed.
    """

    refresh: str
    lease: str
    outcome: Outcome
    version_before: int | None = None
    backbone_before: BackboneRef | None = None
    version_after: int | None = None
    version_returned: int | None = None
    judgement: Judgement | None = None
    reason: Reason | None = None

    def with_version(self, number: int) -> "RefreshNote":
        """Returns the note for a task that was moved or returned by making this version the active one."""
        if self.outcome == "moved":
            return replace(self, version_after=number)
        return replace(self, version_returned=number)


@dataclass(frozen=True, slots=True)
class RefreshJob:
    """A refresh that is at work; `state` is `running` or `rolling_back`."""

    tenant: str
    id: str
    bundle: str
    max_drop: float
    state: RefreshState


@dataclass(frozen=True, slots=True)
class RefreshLease:
    """A server's part in a refresh: under its id tasks are claimed. It ends some seconds after it was last renewed."""

    job: RefreshJob
    id: str


@dataclass(frozen=True, slots=True)
class LeaseProgress:
    """The progress that a server tells of its part in a refresh.

    Attributes:
        able: whether it has the bundles that it has needed so far.
        embedded: the number of images of the task at hand that are embedded.
        images_per_second: None before the first image.
    """

    able: bool = True
    embedded: int = 0
    images_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class RefreshTask:
    """A task of a refresh. `images` is the size of its support set at the time when the refresh was asked for."""

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
    """A refresh and its progress.

    Attributes:
        tasks: the number of tasks by outcome, without outcomes that no task has.
        images, images_done: images of the tasks that it moves, or, from its rollback on, of those that it returns.
        judged: the number of tasks whose accuracy was estimated on their support sets.
        before, after: the mean accuracies of those tasks; None if there are none.
        at_work: what each server that works on it last told, by the id of its lease.
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
    at_work: Mapping[str, LeaseProgress] = field(default_factory=dict)
