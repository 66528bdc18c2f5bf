"""Replies that did not come from a Headstart server, as errors that say where to look."""

import re
from http import HTTPStatus

import httpx

from headstart.errors import ProxyError, UnexpectedReply
from headstart.http.address import without_password

_MEANS = {
    401: "it asks for authentication: give a token, or the header that it expects",
    403: "it does not let this request through: does it expect a token or a header?",
    407: "it asks for authentication: HTTPS_PROXY or HTTP_PROXY in the environment may hold user and password",
    408: "it waited too long for the request: raise its time limit for request bodies",
    413: "the request is too large for it: raise its limit (nginx: client_max_body_size), or send fewer or smaller images",
    429: "it lets no more requests through for now; try again later",
    502: "it got no usable answer from the server behind it: is that running?",
    503: "the server behind it is not available: is that running?",
    504: "the server behind it did not answer in time: raise its time limit, or send fewer images at once",
}
_GATEWAY = range(520, 531)  # Cloudflare's
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)


def foreign_reply(response: httpx.Response) -> UnexpectedReply:
    """The error for a reply that is not of this API."""
    status = response.status_code
    asked = f"{response.request.method} {without_password(response.url)}"
    if response.has_redirect_location:
        location = response.headers["Location"]
        return UnexpectedReply(f"{asked} was answered with {status} and sent on to {location[:200]}; is the address right?")
    if status in _MEANS or status in _GATEWAY:
        return ProxyError(status, f"{asked} was answered with {_named(response)} by {_who(response)}: {_meaning(response)}")
    kind = response.headers.get("Content-Type", "no content type")
    return UnexpectedReply(f"{asked} was answered with {status} and {kind}, which is not this API")


def _named(response: httpx.Response) -> str:
    try:
        return f"{response.status_code} {HTTPStatus(response.status_code).phrase}"
    except ValueError:
        return str(response.status_code)


def _who(response: httpx.Response) -> str:
    """The sender of a reply, by its headers and its page's title, which is often all there is."""
    told = [response.headers[name] for name in ("Server", "Via") if name in response.headers]
    if title := _TITLE.search(response.text[:10_000]):
        told.append(f"“{' '.join(title[1].split())[:100]}”")
    return f"something in front of the Headstart server ({', '.join(told) or 'it does not say what'})"


def _meaning(response: httpx.Response) -> str:
    meaning = _MEANS.get(response.status_code, _MEANS[502])
    size = int(response.request.headers.get("Content-Length", 0))
    return f"{meaning} ({size / 1e6:.1f} MB were sent)" if response.status_code == 413 else meaning
