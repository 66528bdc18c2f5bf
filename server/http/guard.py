"""The check of API keys, before anything of a request is read but its head."""

from collections.abc import Mapping

from starlette.types import Scope as RequestScope

from server.cache.keys import ActiveKeys
from server.errors import Unauthenticated
from server.http.callers import OPERATOR, STRANGER, Caller, Need

_MISSING = "this server asks for a key: send it as `Authorization: Bearer hs_…`"
_SCHEME = b"bearer "


class Guard:
    """Tells whose request it is, and refuses what its key does not allow."""

    def __init__(self, keys: ActiveKeys) -> None:
        self._keys = keys

    def admit(self, scope: RequestScope, need: Need, parts: Mapping[str, str]) -> Caller:
        """Returns the caller, by its `Authorization: Bearer` (RFC 6750).

        Args:
            parts: of the request's path, by name.

        Raises:
            Unauthenticated: there are keys, and the request brings none that is valid.
            Forbidden: its key does not allow what is needed.
            TaskNotFound: its key is for another task than that of the path.
        """
        if not self._keys.required:
            return OPERATOR
        try:
            caller = scope["caller"] = self._caller(scope)
        except Unauthenticated:
            if need != "open":
                raise
            return STRANGER
        caller.check(need)
        if "task" in parts:
            caller.check_task(parts["task"])
        return caller

    def _caller(self, scope: RequestScope) -> Caller:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given:
            raise Unauthenticated(_MISSING)
        if len(given) > 1 or given[0][: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthenticated(f"there is another authorization than one key; {_MISSING}")
        known = self._keys.find(given[0][len(_SCHEME) :].strip().decode("latin-1"))
        if known is None:
            raise Unauthenticated("this key is mistyped, unknown, revoked or expired")
        return Caller(known.tenant, known.scope, known.task, known.id, known.expires_at)
