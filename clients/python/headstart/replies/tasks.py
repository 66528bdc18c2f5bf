"""Tasks, their examples and their versions, as frozen types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Self

from headstart.replies.quality import Quality
from headstart.replies.values import Interval, JsonObject, LabelSet, interval, label_set


@dataclass(frozen=True, slots=True)
class ClassSize:
    """One class of a task and how many examples it has."""

    label: str
    examples: int


@dataclass(frozen=True, slots=True)
class Head:
    """The options that a task's last layer was fitted with."""

    solver: str
    C: float
    temperature: float
    centre: bool

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(body["solver"], body["C"], body["temperature"], body["centre"])


Keep = Literal["none", "uncertain", "all"]
LabelMode = Literal["single", "multiple"]


@dataclass(frozen=True, slots=True)
class CaptureSetting:
    """The predictions of a task that are kept for review: at most `limit`, each for at most `days`, the oldest leaving first.

    An event tells when there are `notify` of them; None for never.
    """

    keep: Keep
    limit: int
    days: int
    notify: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task in its active version.

    Attributes:
        backbone: the id, `name@version`, of the backbone that embeds its images.
        negatives: how many images it has that are of none of its classes.
        quality: after a change of its examples; None in other replies, and above 100 examples.
        timing_ms: decode, embed, fit, store and total of the change; empty if nothing was changed.
        capture: which of its predictions are kept for review.
        labels: "multiple" if an image may have any number of labels, else "single".
        name_weight: of the class names beside the images, 0 if they tell nothing, and 1 while a class has no image. None where
            the backbone cannot read, above 2,000 examples or 256 classes, and where an image may have several labels.
        raw: the JSON as it arrived.
    """

    id: str
    name: str
    version: int
    backbone: str
    classes: tuple[ClassSize, ...]
    head: Head
    created_at: datetime
    updated_at: datetime
    quality: Quality | None
    timing_ms: Mapping[str, float]
    raw: JsonObject = field(repr=False, compare=False)
    capture: CaptureSetting = CaptureSetting("none", 0, 0)
    negatives: int = 0
    labels: LabelMode = "single"
    name_weight: float | None = None

    @property
    def examples(self) -> int:
        """Examples of all classes together, without negatives. An example of several labels counts once for each."""
        return sum(size.examples for size in self.classes)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            id=body["id"],
            name=body["name"],
            version=body["version"],
            backbone=body["backbone"],
            classes=_classes(body),
            head=Head.from_json(body["head"]),
            created_at=datetime.fromisoformat(body["created_at"]),
            updated_at=datetime.fromisoformat(body["updated_at"]),
            quality=_quality(body),
            timing_ms=body.get("timing_ms", {}),
            raw=body,
            # Earlier servers capture nothing.
            **({"capture": CaptureSetting(**body["capture"])} if "capture" in body else {}),
            negatives=body.get("negatives", 0),  # Earlier servers have none.
            labels=body.get("labels", "single"),  # Earlier servers know no other.
            name_weight=body.get("name_weight"),  # Earlier servers have none.
        )


@dataclass(frozen=True, slots=True)
class Example:
    """One image of a task's support set.

    Attributes:
        label: None if it is of none of the classes, and in a task of several labels an image.
        labels: in a task of several labels an image, all of them; else None.
        sha256: of the bytes that were sent; None if they were not kept.
        file_name: name of its file; None if it is not known.
    """

    id: str
    label: str | None
    media_type: str
    bytes: int
    image_kept: bool
    sha256: str | None
    created_at: datetime
    raw: JsonObject = field(repr=False, compare=False)
    file_name: str | None = None
    labels: LabelSet | None = None

    @property
    def classes(self) -> LabelSet:
        """The labels that it has, in either kind of task."""
        return self.labels or (() if self.label is None else (self.label,))

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            id=body["id"],
            label=body["label"],
            labels=label_set(body.get("labels")),
            media_type=body["media_type"],
            bytes=body["bytes"],
            image_kept=body["image_kept"],
            sha256=body["sha256"],
            created_at=datetime.fromisoformat(body["created_at"]),
            raw=body,
            file_name=body.get("file_name"),  # Earlier servers keep none.
        )


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version of a task; `change` says what made it.

    Attributes:
        accuracy: by leave-one-out when it was made; None if that was not done, or no example could be judged.
        interval: of that accuracy, at 95 %.
        negatives: how many images it has that are of none of its classes.
    """

    version: int
    active: bool
    change: str
    backbone: str
    classes: tuple[ClassSize, ...]
    head: Head
    created_at: datetime
    accuracy: float | None
    interval: Interval | None
    raw: JsonObject = field(repr=False, compare=False)
    negatives: int = 0

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            version=body["version"],
            active=body["active"],
            change=body["change"],
            backbone=body["backbone"],
            classes=_classes(body),
            head=Head.from_json(body["head"]),
            created_at=datetime.fromisoformat(body["created_at"]),
            accuracy=body.get("accuracy"),  # Earlier servers keep none.
            interval=interval(body.get("interval")),
            raw=body,
            negatives=body.get("negatives", 0),
        )


def _classes(body: JsonObject) -> tuple[ClassSize, ...]:
    return tuple(ClassSize(size["label"], size["examples"]) for size in body["classes"])


def _quality(body: JsonObject) -> Quality | None:
    """The quality in a task's reply. It lacks task and version, which the reply itself has."""
    found = body.get("quality")
    return None if found is None else Quality.from_json({"task": body["id"], "version": body["version"], **found})
