"""A server's address: checked before it is used, and shown without its password."""

import re
from urllib.parse import urlsplit

import httpx


def checked(url: str) -> str:
    """Checks an address and returns it without user and password, as people may see it.

    Raises:
        ValueError: it is no address of a server. The message leaves out the password.
    """
    try:
        parts = urlsplit(url)
        parsed = httpx.URL(url)
        parsed.host.encode("idna")  # as the look-up of the name will
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        shown = re.sub(r"^(\w+://)?.*@", r"\1", url, flags=re.DOTALL)  # up to the last @: a password may hold any character
        raise ValueError(f"the server's address must look like http://127.0.0.1:8000, not {shown!r}")
    return without_password(parsed)


def without_password(url: httpx.URL) -> str:
    """A URL without user and password, as people may see it."""
    return str(url.copy_with(userinfo=b""))
