"""The records of events that the store takes and returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from server.store.records import Change, EventType


@dataclass(frozen=True, slots=True)
class EventBounds:
    """The bounds of events.

    Attributes:
        quality_drop: how far a version's accuracy may be below that of the version before, until it is told.
        days: the age at which an event leaves.
    """

    quality_drop: float = 0.05
    days: int = 30


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a task. What its type says nothing of is None.

    Attributes:
        version, accuracy: the active version after it, and its accuracy; None if that is not known.
        version_before, accuracy_before: the same before it.
        change: the kind of change that made the version.
        captures: how many the task has.
    """

    id: str
    type: EventType
    task: str
    created_at: datetime
    version: int | None = None
    version_before: int | None = None
    change: Change | None = None
    accuracy: float | None = None
    accuracy_before: float | None = None
    captures: int | None = None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in the order in which they happened.

    Attributes:
        following: the id to ask for next.
        missed: whether events after the one that was named have left, or it is not known, so that these begin with the oldest.
    """

    events: Sequence[Event]
    following: str
    missed: bool
