"""The reply that tells limits and quotas."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from server.schemas.base import Reply


class QuotaReply(Reply):
    """A quota of the caller, and how much of it is used."""

    quota: Literal["requests", "images", "tasks", "examples", "bytes", "captures"] = Field(description="what it limits")
    of: Literal["tenant", "key"] = Field(description="whose it is: all keys of a tenant share the tenant's")
    limit: int
    used: int
    seconds: int | None = Field(description="in which so many may come; null for what is stored")


class Limits(Reply):
    """The most that a request of the caller, or a task, may hold on this server; more is refused."""

    body_bytes: int
    image_bytes: int
    image_pixels: int
    images: int = Field(description="of one prediction")
    new_examples: int = Field(description="of one request")
    classes: int = Field(description="of one task")
    examples: int = Field(description="of one task")
    quotas: list[QuotaReply] = Field(description="those that whoever runs the server has set")

    EXAMPLE: ClassVar[Any] = {
        "body_bytes": 64_000_000,
        "image_bytes": 30_000_000,
        "image_pixels": 25_000_000,
        "images": 256,
        "new_examples": 1024,
        "classes": 1000,
        "examples": 20_000,
        "quotas": [
            {"quota": "images", "of": "tenant", "limit": 600, "used": 588, "seconds": 60},
            {"quota": "tasks", "of": "tenant", "limit": 100, "used": 3, "seconds": None},
        ],
    }
