"""How much the server takes in one request."""

from dataclasses import dataclass
from typing import Self

from headstart.errors import NotFound, UnexpectedReply
from headstart.http.transport import Transport, parse
from headstart.replies.tasks import JsonObject


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one request: the bytes of its body, and how many new examples it may bring."""

    body_bytes: int
    new_examples: int

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        return cls(body["body_bytes"], body["new_examples"])


DEFAULT_LIMITS = Limits(body_bytes=64_000_000, new_examples=1024)
"""Of a server that nobody has set otherwise."""


def ask_limits(transport: Transport) -> Limits:
    """Those of this server; the defaults of one that is too old to say."""
    try:
        return parse(Limits.from_json, transport.send("GET", "/v1/limits"))
    except (NotFound, UnexpectedReply):
        return DEFAULT_LIMITS
