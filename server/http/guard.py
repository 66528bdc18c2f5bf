"""The check of API keys and OIDC tokens, before anything of a request is read but its head."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from starlette.types import Scope as RequestScope

from server.cache.keys import ActiveKeys
from server.errors import Unauthenticated
from server.http.at_least import at_least
from server.http.callers import OPERATOR, STRANGER, Caller, Need
from server.store.shared_changes import TRUE_SECONDS

if TYPE_CHECKING:
    from server.cache.tokens import Tokens

_MISSING = "this server asks for a key: send it as `Authorization: Bearer hs_…`"
_SCHEME = b"bearer "
_LOOK_SECONDS = 0.02  # between two looks at what this process has heard
_KEY = "hs_"  # No token begins so: it begins with a brace in base64.


class Guard:
    """Tells whose request it is, and refuses what its key or token does not allow.

    Args:
        tokens: None if no issuer's tokens are taken.
        has_heard: tells whether this process knows what a transaction of another server has changed.
        hear: waits until it knows that, where this process reads of it.
    """

    def __init__(
        self,
        keys: ActiveKeys,
        tokens: "Tokens | None",
        has_heard: Callable[[int], bool],
        hear: Callable[[int], Awaitable[None]],
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._has_heard = has_heard
        self._hear = hear

    async def admit(self, scope: RequestScope, need: Need, parts: Mapping[str, str]) -> Caller:
        """Returns the caller, by its `Authorization: Bearer` (RFC 6750), once this server knows what the request says it must.

        Args:
            parts: of the request's path, by name.

        Raises:
            Unauthenticated: there are keys or tokens, and the request brings none that is valid.
            Forbidden: its key does not allow what is needed.
            TaskNotFound: its key is for another task than that of the path.
            StorageFailed: the database cannot be read of what that asks for.
        """
        wanted = at_least(scope["headers"])
        if wanted is not None and not self._has_heard(wanted):
            try:
                await self._admitted(scope, need, parts)
            except Unauthenticated:  # Another server may have made the key. A stranger must not have the database read.
                await self._until_heard(wanted)
            else:
                await self._hear(wanted)
        return await self._admitted(scope, need, parts)

    async def _admitted(self, scope: RequestScope, need: Need, parts: Mapping[str, str]) -> Caller:
        if not self._keys.required and self._tokens is None:
            return OPERATOR
        try:
            caller = scope["caller"] = await self._caller(scope)
        except Unauthenticated:
            if need != "open":
                raise
            return STRANGER
        caller.check(need)
        if "task" in parts:
            caller.check_task(parts["task"])
        return caller

    async def _until_heard(self, transaction: int) -> None:
        """Waits until this process has read of changes by itself, and knows that one."""
        until = time.monotonic() + TRUE_SECONDS
        while not self._has_heard(transaction) and time.monotonic() < until:
            await asyncio.sleep(_LOOK_SECONDS)

    async def _caller(self, scope: RequestScope) -> Caller:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            raise Unauthenticated(_MISSING)
        if len(given) > 1 or given[0][: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated(f"there is another authorization than one key; {_MISSING}")
        text = given[0][len(_SCHEME) :].strip().decode("latin-1")
        if self._tokens is not None and not text.startswith(_KEY):
            bearer = await self._tokens.find(text)
            return Caller(bearer.tenant, bearer.scope, None, bearer.id, bearer.expires_at)
        known = self._keys.find(text)
        if known is None:
            raise Unauthenticated("this key is mistyped, unknown, revoked or expired")
        return Caller(known.tenant, known.scope, known.task, known.id, known.expires_at)
