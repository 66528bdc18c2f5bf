"""The server's limits of one request, and the caller's quotas."""

from dataclasses import dataclass
from typing import Self

from headstart.errors import NotFound, UnexpectedReply
from headstart.http.exchange import Exchange, parse
from headstart.http.steps import Steps
from headstart.replies.values import JsonObject


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one request may hold.

    Attributes:
        body_bytes: bytes of its body.
        images: images to recognise.
        new_examples: examples to learn from.
    """

    body_bytes: int
    images: int
    new_examples: int

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(body["body_bytes"], body["images"], body["new_examples"])


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota of the caller.

    Attributes:
        quota: what it limits: "requests", "images", "tasks", "examples", "bytes" or "captures".
        of: "tenant", or "key" for that of the client's own key.
        seconds: in which so many may come; None for what is stored.
    """

    quota: str
    of: str
    limit: int
    used: int
    seconds: int | None

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(body["quota"], body["of"], body["limit"], body["used"], body["seconds"])


DEFAULT_LIMITS = Limits(body_bytes=64_000_000, images=256, new_examples=1024)
"""The limits of a server with default settings."""


def ask_limits(exchange: Exchange) -> Steps[Limits]:
    """Steps to the limits of this server; the defaults if it is too old to say."""
    try:
        return parse(Limits.from_json, (yield from exchange.send("GET", "/v1/limits")))
    except (NotFound, UnexpectedReply):
        return DEFAULT_LIMITS
