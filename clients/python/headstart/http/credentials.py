"""The headers of every request, with the token. They are checked here, so that no error message repeats a secret."""

import os
import re
from collections.abc import Mapping

import httpx

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_TOKEN = re.compile(r"[\x21-\x7e]+")


def request_headers(
    url: str, token: str | None, headers: Mapping[str, str] | None, environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The headers that every request carries.

    Args:
        url: the server's address. httpx sends the user and password in it as `Authorization: Basic …`.
        token: sent as `Authorization: Bearer …` (RFC 6750). Without it, `HEADSTART_TOKEN` of the environment is sent, unless the
            address or the headers authenticate already.
        headers: sent as they are.
        environment: variables by name.

    Raises:
        ValueError: more than one of the three authenticates, or a header or the token is malformed.
        TypeError: a header or the token is not text.
    """
    given = dict(headers or {})
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers: names and values must be text; {name!r} is not")
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"headers: the name or the value of {name!r} has characters that a header cannot have")
    authenticated = "authorization" in {name.lower() for name in given} or bool(httpx.URL(url).userinfo)
    if token is not None and authenticated:
        raise ValueError("give only one of: a token, an Authorization header, a user in the address")
    if token is None and not authenticated:
        token = environment.get("HEADSTART_TOKEN") or None
    if token is None:
        return given
    if not isinstance(token, str):
        raise TypeError(f"token: must be text, not {type(token).__name__}")
    if not _TOKEN.fullmatch(token.strip()):
        raise ValueError("token: is empty or has characters that a header cannot have")
    return {**given, "Authorization": f"Bearer {token.strip()}"}
