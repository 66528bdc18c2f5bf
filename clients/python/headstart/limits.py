"""How much the server takes in one request."""

from dataclasses import dataclass
from typing import Self

from headstart.errors import NotFound, UnexpectedReply
from headstart.http.transport import Transport, parse
from headstart.replies.tasks import JsonObject


@dataclass(frozen=True, slots=True)
class Limits:
    """Most of what one request may bring.

    Attributes:
        body_bytes: of its body.
        images: to be recognised.
        new_examples: to be learned from.
    """

    body_bytes: int
    images: int
    new_examples: int

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(body["body_bytes"], body["images"], body["new_examples"])


DEFAULT_LIMITS = Limits(body_bytes=64_000_000, images=256, new_examples=1024)
"""Of a server that nobody has set otherwise."""


def ask_limits(transport: Transport) -> Limits:
    """Those of this server; the defaults of one that is too old to say."""
    try:
        return parse(Limits.from_json, transport.send("GET", "/v1/limits"))
    except (NotFound, UnexpectedReply):
        return DEFAULT_LIMITS
