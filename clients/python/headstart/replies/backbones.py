"""Backbones as the server lists them."""

from dataclasses import dataclass, field
from typing import Self

from headstart.replies.values import JsonObject


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
