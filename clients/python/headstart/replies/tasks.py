"""What the server answers, as frozen types. Fields this version has no name for are kept in `raw`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from headstart.replies.quality import Quality

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClassSize:
    """One class of a task and how many examples it has."""

    label: str
    examples: int


@dataclass(frozen=True, slots=True)
class Head:
    """How the task's last layer was fitted."""

    solver: str
    C: float
    temperature: float
    centre: bool

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(body["solver"], body["C"], body["temperature"], body["centre"])


@dataclass(frozen=True, slots=True)
class Task:
    """A task in its active version.

    Attributes:
        backbone: `name@version` of what embeds its images.
        quality: how good it is after a change of its examples; None in other answers, and above 100 examples.
        timing_ms: decode, embed, fit, store and total of the change that made this answer; empty where nothing was changed.
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

    @property
    def examples(self) -> int:
        """Examples of all classes together."""
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
        )


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled image of a task's support set.

    Attributes:
        sha256: of the bytes that were sent, None if they were not kept.
        file_name: what its file was called, None where that is not known.
    """

    id: str
    label: str
    media_type: str
    bytes: int
    image_kept: bool
    sha256: str | None
    created_at: datetime
    raw: JsonObject = field(repr=False, compare=False)
    file_name: str | None = None

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            id=body["id"],
            label=body["label"],
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
    """One immutable version of a task; `change` says what made it."""

    version: int
    active: bool
    change: str
    backbone: str
    classes: tuple[ClassSize, ...]
    head: Head
    created_at: datetime
    raw: JsonObject = field(repr=False, compare=False)

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
            raw=body,
        )


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone the server knows.

    Attributes:
        default: new tasks get it.
        missing: tasks or new ones need it and it is not in the server's folders; what would be read there is None.
        open: it is loaded and warm.
        engines: what runs it while it is open.
        active_tasks: how many tasks use it in their active version.
        unserved_tasks: how many of those are refused, since its file is missing or damaged.
    """

    id: str
    default: bool
    missing: bool
    open: bool
    engines: tuple[str, ...]
    active_tasks: int
    unserved_tasks: int
    embedding_dim: int | None
    architecture: str | None
    dataset: str | None
    raw: JsonObject = field(repr=False, compare=False)

    @property
    def input_side(self) -> int | None:
        """The longer side of what it looks at, in pixels; None if the server does not say."""
        size = self.raw.get("input", {})
        return max(size.get("height", 0), size.get("width", 0)) or None

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(
            id=body["id"],
            default=body["default"],
            missing=body.get("missing", False),
            open=body["open"],
            engines=tuple(body["engines"]),
            active_tasks=body["active_tasks"],
            unserved_tasks=body.get("unserved_tasks", 0),
            embedding_dim=body["embedding_dim"],
            architecture=body["architecture"],
            dataset=body["dataset"],
            raw=body,
        )


def summed(timings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The milliseconds of each stage over several requests."""
    total: dict[str, float] = {}
    for timing in timings:
        for stage, milliseconds in timing.items():
            total[stage] = total.get(stage, 0.0) + milliseconds
    return total


def _classes(body: JsonObject) -> tuple[ClassSize, ...]:
    return tuple(ClassSize(size["label"], size["examples"]) for size in body["classes"])


def _quality(body: JsonObject) -> Quality | None:
    """That of a task's reply, which names task and version itself."""
    found = body.get("quality")
    return None if found is None else Quality.from_json({"task": body["id"], "version": body["version"], **found})
