"""The events of tasks: response bodies."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from server.schemas.base import EVENT_ID, NEXT_EVENT_ID, TASK_ID, TIME, Reply
from server.store.records import Change, EventType


class EventReply(Reply):
    """Something that happened to a task. It holds ids and numbers only."""

    id: str
    type: EventType
    task: str
    created_at: datetime
    version: int | None = Field(description="that is active after it; null of captures and deletions")
    version_before: int | None = Field(description="that was active before it; null where there was none")
    change: Change | None = Field(description="of `version_created`: the kind of change that made the version")
    accuracy: float | None = Field(description="of `version`; null where it is not known")
    accuracy_before: float | None = Field(description="of `quality_fell`: that of `version_before`")
    captures: int | None = Field(description="of `captures_waiting`: how many the task has")


class EventPage(Reply):
    """Events in the order in which they happened."""

    events: list[EventReply]
    next: str = Field(description="to be given as `after` the next time, also where there are no events")
    missed: bool = Field(description="events after the one named have left, or it is unknown: these are the oldest there are")

    EXAMPLE: ClassVar[Any] = {
        "events": [
            {
                "id": EVENT_ID,
                "type": "version_created",
                "task": TASK_ID,
                "created_at": TIME,
                "version": 2,
                "version_before": 1,
                "change": "added",
                "accuracy": 0.8,
                "accuracy_before": None,
                "captures": None,
            },
            {
                "id": NEXT_EVENT_ID,
                "type": "quality_fell",
                "task": TASK_ID,
                "created_at": TIME,
                "version": 2,
                "version_before": 1,
                "change": None,
                "accuracy": 0.8,
                "accuracy_before": 0.9,
                "captures": None,
            },
        ],
        "next": NEXT_EVENT_ID,
        "missed": False,
    }
