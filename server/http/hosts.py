"""The names under which requests may address the server.

Where a web page's name is pointed at this machine (DNS rebinding), a browser treats the server as the page's own.
Only the `Host` that it sends gives the page away.
"""

import logging
import re
from collections.abc import Callable
from functools import lru_cache

from starlette.types import Scope

from server.errors import HostNotAllowed, MalformedRequest
from server.hosts import ANY, is_loopback

_log = logging.getLogger(__name__)

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{0,5})?")
_SHOWN = 100
_LONGEST = 300  # bytes: a name has 253 at most, and what is longer must not fill the caches


def host_check(allowed: frozenset[str]) -> Callable[[Scope], None]:
    """Refuses a request that does not name its host once, or names another than those allowed.

    Args:
        allowed: names and addresses in lower case, without port; `*.example.org` for all names below, `ANY` for all. Those of
            loopback are always allowed: no name that somebody else chose is among them.
    """

    @lru_cache(maxsize=1024)
    def named(host: bytes) -> str | None:
        parts = _HOST.fullmatch(host.decode("latin-1").lower())
        return parts[1].rstrip(".") if parts else None

    @lru_cache(maxsize=1024)
    def is_allowed(name: str) -> bool:
        below = any(each.startswith("*.") and name.endswith(each[1:]) for each in allowed)
        return below or ANY in allowed or name in allowed or is_loopback(name)

    def check(scope: Scope) -> None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            raise MalformedRequest(f"a request has one Host header, and this one has {len(hosts) or 'none'}")
        if len(hosts[0]) > _LONGEST or (name := named(hosts[0])) is None:
            raise MalformedRequest("the Host header does not name a host")
        if not is_allowed(name):
            _log.warning("refused a request for the host %r, which is not among --allowed-hosts", name[:_SHOWN])
            raise HostNotAllowed(name[:_SHOWN])

    return check
