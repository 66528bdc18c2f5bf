"""The client's own key, as a frozen type."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from headstart.replies.values import JsonObject


@dataclass(frozen=True, slots=True)
class Key:
    """The key that a client sends, without its secret.

    Attributes:
        required: False for a server without keys.
        id: None for a server without keys.
        tenant: whose tasks these are.
        scope: `predict`, `write` or `manage`; each includes those before it.
        task: the only task that the key is for; None for all of the tenant.
        expires_at: None for never.
    """

    required: bool
    id: str | None
    tenant: str
    scope: str
    task: str | None
    expires_at: datetime | None
    raw: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, body: JsonObject) -> Self:
        ends = body["expires_at"]
        return cls(
            required=body["required"],
            id=body["id"],
            tenant=body["tenant"],
            scope=body["scope"],
            task=body["task"],
            expires_at=ends and datetime.fromisoformat(ends),
            raw=body,
        )
