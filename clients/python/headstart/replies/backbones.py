"""Backbones, as frozen types."""

from dataclasses import dataclass, field
from typing import Self

from headstart.replies.values import JsonObject


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone that the server knows.

    Attributes:
        default: True if new tasks get it.
        missing: True if tasks, or new tasks, need it and the server's folders lack it. What its file would say is then None.
        open: True if it is loaded and warm.
        engines: the engines that run it while it is open.
        active_tasks: how many tasks use it in their active version.
        unserved_tasks: how many of those the server refuses, because the file is missing or damaged.
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
        """The longer side of its input in pixels; None if the server does not say."""
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
