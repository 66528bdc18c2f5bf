"""Request and response bodies of API keys."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

from msgspec import Meta
from pydantic import Field

from server.keys import MOST_DAYS, Scope
from server.schemas.base import TASK_ID, TIME, Reply, Request
from server.store.key_records import StoredKey

_MOST_SECONDS = MOST_DAYS * 86_400
_DAY_SECONDS = 86_400
_SHOWN = f"hs_0123456789ab_{'0' * 64}_5a1f09c3"


class KeyBody(Request, frozen=True):
    """A key to be made, of the tenant of the key that asks."""

    scope: Annotated[Scope, Meta(description="each includes those before it")]
    task: Annotated[str | None, Meta(description="the only task that it is for; not with the scope `manage`")] = None
    expires_in: Annotated[
        Annotated[int, Meta(ge=1, le=_MOST_SECONDS)] | None, Meta(description="seconds; left out or null, it never expires")
    ] = None


class RotateBody(Request, frozen=True):
    """The rotation of a key."""

    expires_in: Annotated[int, Meta(ge=1, le=_MOST_SECONDS, description="seconds for which the old key is valid yet")] = (
        _DAY_SECONDS
    )


class KeyReply(Reply):
    """A key, without its secret."""

    id: str
    tenant: str
    scope: Scope
    task: str | None = Field(description="the only task that it is for; null for all of the tenant")
    created_at: datetime
    expires_at: datetime | None = Field(description="null for never")
    revoked_at: datetime | None = Field(description="null unless it was revoked")
    last_used_at: datetime | None = Field(description="up to a minute late; null if it was never used")

    EXAMPLE: ClassVar[Any] = {
        "id": "0123456789ab",
        "tenant": "default",
        "scope": "predict",
        "task": TASK_ID,
        "created_at": TIME,
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
    }


class NewKeyReply(KeyReply):
    """A new key. Only this answer has it."""

    token: str = Field(description="the key itself, for `Authorization: Bearer …`")

    EXAMPLE: ClassVar[Any] = {**KeyReply.EXAMPLE, "token": _SHOWN}


class KeyList(Reply):
    keys: list[KeyReply]

    EXAMPLE: ClassVar[Any] = {"keys": [KeyReply.EXAMPLE]}


class OwnKeyReply(Reply):
    """The key of a request, or what is allowed without one."""

    required: bool = Field(description="false on a server without keys")
    id: str | None = Field(description="`oidc:` and the subject for a token; null on a server without keys")
    tenant: str
    scope: Scope
    task: str | None = Field(description="the only task that it is for; null for all of the tenant")
    expires_at: datetime | None = Field(description="null for never")

    EXAMPLE: ClassVar[Any] = {
        "required": True,
        "id": "0123456789ab",
        "tenant": "default",
        "scope": "predict",
        "task": None,
        "expires_at": None,
    }


def key_fields(key: StoredKey) -> dict[str, Any]:
    """Returns the fields of `KeyReply`."""
    return {name: getattr(key, name) for name in KeyReply.model_fields}
