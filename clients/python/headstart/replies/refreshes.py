"""Refreshes: the moving of tasks onto another bundle, as the server tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

AT_WORK = frozenset({"running", "rolling_back"})


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was done or was not: `code` is stable, `detail` is for people."""

    code: str
    detail: str

    @classmethod
    def from_json(cls, body: Mapping[str, Any] | None) -> Self | None:
        return None if body is None else cls(body["code"], body["detail"])


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Before and after, each told of the same examples; None where it could not be told.

    Attributes:
        judged_by: `leave-one-out`, `20 folds`, `evaluations` (the bundles' own, of other classes) or `nothing`.
        judged: how many examples were.
    """

    judged_by: str
    judged: int
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class RefreshedTask:
    """What became of a task.

    Attributes:
        outcome: `waiting`, `moved`, `kept` (it would have fallen by too much, or nothing could tell), `unchanged` (it was there
            already), `gone`, `failed`, `skipped`; in a rollback `returning`, `returned` or `not_returned`.
        images: in its support set when the refresh was asked for.
        version_before, version_after, version_returned: what was active, what the refresh and what the rollback made active.
        reason: why that became of it; None while it is pending.
    """

    task: str
    outcome: str
    images: int
    backbone_before: str | None
    version_before: int | None
    version_after: int | None
    version_returned: int | None
    accuracy: Accuracy | None
    reason: Reason | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        versions, told = body["versions"], body["accuracy"]
        return cls(
            task=body["task"],
            outcome=body["outcome"],
            images=body["images"],
            backbone_before=body["backbone_before"],
            version_before=versions["before"],
            version_after=versions["after"],
            version_returned=versions["returned"],
            accuracy=told and Accuracy(told["judged_by"], told["judged"], told["before"], told["after"]),
            reason=Reason.from_json(body["reason"]),
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh, as far as it is.

    Attributes:
        to: the bundle that its tasks are moved to.
        state: `running`, `paused`, `cancelled`, `finished`, `failed`, `rolling_back` or `rolled_back`.
        reason: why it failed.
        tasks: how many there are of each outcome.
        images_done, images: of the tasks' support sets; in a rollback, of those of the tasks that were moved.
        images_per_second, seconds_left: while the server works on it.
        judged: how many tasks told an accuracy; `accuracy_before` and `accuracy_after` are its means over those.
    """

    id: str
    to: str
    max_drop: float
    state: str
    reason: Reason | None
    tasks: Mapping[str, int]
    images_done: int
    images: int
    images_per_second: float | None
    seconds_left: float | None
    judged: int
    accuracy_before: float | None
    accuracy_after: float | None
    created_at: datetime
    updated_at: datetime
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def at_work(self) -> bool:
        """Whether the server works on it, or will when those before it are done."""
        return self.state in AT_WORK

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        told = body["accuracy"] or {"tasks": 0, "before": None, "after": None}
        return cls(
            id=body["id"],
            to=body["to"],
            max_drop=body["max_drop"],
            state=body["state"],
            reason=Reason.from_json(body["reason"]),
            tasks=body["tasks"],
            images_done=body["images"]["done"],
            images=body["images"]["total"],
            images_per_second=body["images_per_second"],
            seconds_left=body["seconds_left"],
            judged=told["tasks"],
            accuracy_before=told["before"],
            accuracy_after=told["after"],
            created_at=datetime.fromisoformat(body["created_at"]),
            updated_at=datetime.fromisoformat(body["updated_at"]),
            raw=body,
        )
