"""Captured predictions that wait for a decision, as frozen types."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from headstart.replies.predictions import Neighbour
from headstart.replies.values import JsonObject, LabelSet, label_set


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer that a captured prediction had.

    Attributes:
        version: the version of the task that answered.
        known, novelty: None if the call did not ask for strangers.
        labels: in a task of several labels an image, those that it had; else None.
    """

    version: int
    label: str
    probability: float
    known: bool | None
    novelty: float | None
    labels: LabelSet | None = None

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        labels = label_set(body.get("labels"))
        return cls(body["version"], body["label"], body["probability"], body["known"], body["novelty"], labels)


@dataclass(frozen=True, slots=True)
class Capture:
    """A captured prediction, with what the active version would answer now.

    Attributes:
        image_kept: whether the server has the image: `Client.captures.image` fetches it.
        label, labels, probability, known, novelty, nearest: as in a prediction, by the active version.
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
    labels: LabelSet | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the capture and of all that look like it."""
        return (self.id, *self.alike)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            id=body["id"],
            created_at=datetime.fromisoformat(body["created_at"]),
            image_kept=body["image"] is not None,
            label=body["label"],
            probability=body["probability"],
            known=body["known"],
            novelty=body["novelty"],
            nearest=tuple(map(Neighbour.from_json, body["nearest"])),
            answered=Answered.from_json(body["answered"]),
            alike=tuple(body["alike"]),
            raw=body,
            labels=label_set(body.get("labels")),
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
