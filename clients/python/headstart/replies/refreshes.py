"""Refreshes and their tasks, as frozen types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from headstart.replies.values import JsonObject

AT_WORK = frozenset({"running", "rolling_back"})


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason for a state or an outcome: `code` is stable, `detail` is for people."""

    code: str
    detail: str

    @classmethod
    def from_json(cls, body: JsonObject | None) -> Self | None:
        return None if body is None else cls(body["code"], body["detail"])


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A task's accuracy before and after, on the same examples; None if it could not be judged.

    Attributes:
        judged_by: `leave-one-out`, `20 folds`, `evaluations` (the bundles' own, of other classes) or `nothing`.
        judged: how many examples were judged.
    """

    judged_by: str
    judged: int
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class RefreshedTask:
    """One task of a refresh, and its outcome.

    Attributes:
        outcome: `waiting`, `moved`, `kept` (its accuracy would have fallen too far, or could not be judged), `unchanged` (it was
            on the bundle already), `gone`, `failed` or `skipped`; in a rollback `returning`, `returned` or `not_returned`.
        images: in its support set when the refresh was started.
        version_before, version_after, version_returned: the version that was active, that the refresh made active, and that the
            rollback made active.
        reason: for the outcome; None while it is pending.
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
    raw: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
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
    """A refresh and its progress.

    Attributes:
        to: the bundle that its tasks are moved to.
        state: `running`, `paused`, `cancelled`, `finished`, `failed`, `rolling_back` or `rolled_back`.
        reason: why it failed; None if it did not.
        tasks: how many there are of each outcome.
        images_done, images: of the tasks' support sets; in a rollback, only of the tasks that were moved.
        images_per_second, seconds_left: None unless the server is working on it.
        judged: how many tasks have an accuracy; `accuracy_before` and `accuracy_after` are the means over those.
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
    raw: JsonObject = field(repr=False, compare=False)

    @property
    def at_work(self) -> bool:
        """True while the server works on it, or will after the refreshes before it."""
        return self.state in AT_WORK

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
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
