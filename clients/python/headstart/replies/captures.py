"""Captured predictions that wait for a decision, as frozen types."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from headstart.replies.predictions import Neighbour
from headstart.replies.values import JsonObject


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer that a captured prediction had.

    Attributes:
        version: the version of the task that answered.
        known, novelty: None if the call did not ask for strangers.
    """

    version: int
    label: str
    probability: float
    known: bool | None
    novelty: float | None


@dataclass(frozen=True, slots=True)
class Capture:
    """A captured prediction, with what the active version would answer now.

    Attributes:
        image_kept: whether the server has the image: `Client.captures.image` fetches it.
        label, probability, known, novelty, nearest: as in a prediction, by the active version.
        answered: what was answered then.
        alike: ids of the captures that look like it; one decision may serve all of them.
    """

    id: str
    created_at: datetime
    image_kept: bool
    label: str
    probability: float
    known: bool
    novelty: float
    nearest: tuple[Neighbour, ...]
    answered: Answered
    alike: tuple[str, ...]
    raw: JsonObject = field(repr=False, compare=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the capture and of all that look like it."""
        return (self.id, *self.alike)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        nearest = (Neighbour(each["example"], each["label"], each["similarity"], each["file_name"]) for each in body["nearest"])
        then = body["answered"]
        return cls(
            id=body["id"],
            created_at=datetime.fromisoformat(body["created_at"]),
            image_kept=body["image"] is not None,
            label=body["label"],
            probability=body["probability"],
            known=body["known"],
            novelty=body["novelty"],
            nearest=tuple(nearest),
            answered=Answered(then["version"], then["label"], then["probability"], then["known"], then["novelty"]),
            alike=tuple(body["alike"]),
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class CapturePage:
    """A page of the review queue.

    Attributes:
        version: the active version of the task, which suggests.
        total: captures of the task.
        duplicates: of those, left out as nearly the same image as an example.
        other_backbone: of those, left out since another backbone embedded them.
        next_cursor: for the next page; None on the last.
        raw: the JSON as it arrived.
    """

    task: str
    version: int
    captures: tuple[Capture, ...]
    total: int
    duplicates: int
    other_backbone: int
    next_cursor: str | None
    raw: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            task=body["task"],
            version=body["version"],
            captures=tuple(Capture.from_json(each) for each in body["captures"]),
            total=body["total"],
            duplicates=body["duplicates"],
            other_backbone=body["other_backbone"],
            next_cursor=body["next_cursor"],
            raw=body,
        )
