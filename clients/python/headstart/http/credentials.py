"""The headers that a caller wants on every request, the token among them: checked here, so that no message repeats a secret."""

import os
import re
from collections.abc import Mapping

import httpx

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_TOKEN = re.compile(r"[\x21-\x7e]+")


def request_headers(url: str, token: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """What every request carries.

    Args:
        url: the server's address; user and password in it are sent too.
        token: sent as `Authorization: Bearer …` (RFC 6750); without it, the environment's `HEADSTART_TOKEN`, unless address or
            headers say who asks.

    Raises:
        ValueError: two of the three say who asks, or something is no header.
        TypeError: something is not text.
    """
    given = dict(headers or {})
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers: names and values are text; {name!r} is not")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"headers: {name!r} has a name or a value that no header may have")
    said = "authorization" in {name.lower() for name in given} or bool(httpx.URL(url).userinfo)
    if token is not None and said:
        raise ValueError("the token, an Authorization header and a user in the address all say who asks; give one of them")
    if token is None and not said:
        token = os.environ.get("HEADSTART_TOKEN") or None
    if token is None:
        return given
    if not isinstance(token, str):
        raise TypeError(f"token: a token is text, not {type(token).__name__}")
    if not _TOKEN.fullmatch(token.strip()):
        raise ValueError("token: it is empty or holds characters that no header may have")
    return {**given, "Authorization": f"Bearer {token.strip()}"}
