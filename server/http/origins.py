"""The rights of web pages.

Browsers send a page's simple requests to any server, and only keep the answer from the page (CORS). Without this check a page
could create, predict or delete on any server that its visitor can reach.
"""

import re
from collections.abc import Callable

from starlette.types import Scope

from server.errors import OriginNotAllowed

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_COSTLY = re.compile(r".*/(readyz|quality|v2/health/ready)")  # Others only read.
_SHOWN = 100


def origin_check(allowed: frozenset[str]) -> Callable[[Scope], None]:
    """Refuses what changes or costs something where a page of another origin asks for it, as the browser says in `Origin`
    (RFC 6454) and `Sec-Fetch-Site` (W3C Fetch Metadata). What is no browser sends neither.

    Args:
        allowed: other origins that may, such as `https://example.org`.
    """
    known = {origin.encode() for origin in allowed}

    def check(scope: Scope) -> None:
        if scope["method"] in _SAFE and not _COSTLY.fullmatch(scope["path"]):
            return
        host, origins, site = b"", [], b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.lower()
            elif name == b"origin":
                origins.append(value.lower())
            elif name == b"sec-fetch-site":
                site = value.strip().lower()
        own = {b"http://" + host, b"https://" + host}  # A proxy may have ended TLS.
        for origin in origins:
            if origin not in known and (site == b"cross-site" or origin not in own):
                raise OriginNotAllowed(origin[:_SHOWN].decode("latin-1"))
        if site in {b"cross-site", b"same-site"} and not origins:  # Pictures and links send no Origin.
            raise OriginNotAllowed("another origin")

    return check
