"""The events of tasks, as frozen types."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from headstart.replies.values import JsonObject


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a task. What its type says nothing of is None.

    Attributes:
        type: `version_created`, `version_activated` (an earlier or a later one), `quality_fell`, `captures_waiting` or
            `task_deleted`; newer servers may have others.
        version, accuracy: the active version after it, and its accuracy; None if that is not known.
        version_before, accuracy_before: the same before it.
        change: the kind of change that made the version.
        captures: how many wait for a decision.
    """

    id: str
    type: str
    task: str
    created_at: datetime
    version: int | None
    version_before: int | None
    change: str | None
    accuracy: float | None
    accuracy_before: float | None
    captures: int | None
    raw: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            id=body["id"],
            type=body["type"],
            task=body["task"],
            created_at=datetime.fromisoformat(body["created_at"]),
            version=body["version"],
            version_before=body["version_before"],
            change=body["change"],
            accuracy=body["accuracy"],
            accuracy_before=body["accuracy_before"],
            captures=body["captures"],
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in the order in which they happened.

    Attributes:
        next: for `after` the next time, also where there are no events.
        missed: whether events after the one that was named have left, so that these are the oldest there are.
        raw: the JSON as it arrived.
    """

    events: tuple[Event, ...]
    next: str
    missed: bool
    raw: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(tuple(Event.from_json(each) for each in body["events"]), body["next"], body["missed"], body)
