"""Sends requests, retries them where that is safe, and turns every response into a reply or an error of ours."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from headstart.errors import ServerUnreachable, api_error
from headstart.http.address import checked
from headstart.http.credentials import request_headers
from headstart.http.foreign_replies import foreign_reply
from headstart.version import VERSION

Reply = TypeVar("Reply")
Item = TypeVar("Item")

TRIES = 4
FIRST_PAUSE = 0.2
# Seconds, after which a quota of a minute is whole again. A server that asks for a longer pause is not waited for.
LONGEST_PAUSE = 60.0
CONNECT_TIMEOUT = 5.0
_AT_LEAST = "Headstart-At-Least"
_LARGE = 1_000_000  # bytes: nginx's own default limit

TOO_MANY_REQUESTS = 429
BAD_GATEWAY = 502
_BUSY = frozenset({TOO_MANY_REQUESTS, BAD_GATEWAY, 503})
_NOT_VERIFIED = "CERTIFICATE_VERIFY_FAILED"
_OF_CERTIFICATES = ". SSL_CERT_FILE may name a file with the certificate of its authority, or with its own."
_PROBLEM = "application/problem+json"
# A reply that is merely late is not among them: another try would add to the load that made it late.
_BROKEN_CONNECTION = (httpx.NetworkError, httpx.ConnectTimeout, httpx.RemoteProtocolError)
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout)


class Transport:
    """A pool of connections to one server, for any number of threads.

    Every request of this API may be sent twice. To read, remove, set, open or compare twice has the effect of once, and a POST
    that creates carries an `Idempotency-Key`.

    Where several servers share a database, each answer knows at least of all changes that were made here before.

    Args:
        token, headers: as in `headstart.http.credentials.request_headers`.
        waiting: called with the seconds that a request is about to wait for a quota.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        token: str | None,
        headers: Mapping[str, str] | None,
        waiting: Callable[[float], None] | None = None,
    ) -> None:
        self.shown = checked(url)
        self._waiting = waiting
        self._at_least = 0
        self._remembering = threading.Lock()
        self._http = httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            headers={"User-Agent": f"headstart-client/{VERSION}", **request_headers(url, token, headers)},
            verify=httpx.create_ssl_context(),  # `SSL_CERT_FILE` of the environment holds for loopback, too.
            # A company's proxy cannot reach this machine's own loopback.
            trust_env=urlsplit(url).hostname not in {"127.0.0.1", "::1", "localhost"},
        )

    def close(self) -> None:
        self._http.close()

    def send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        """The successful reply to a request; `parts` are httpx's `params`, `json`, `data`, `files`, `headers`."""
        response, _ = self._exchange(self._http.build_request(method, path, **parts))
        return _successful(response)

    def download(self, path: str) -> Iterator[bytes]:
        """The body of a successful reply, in pieces as it comes. It is asked for again only before the first piece.

        Raises:
            ServerUnreachable: it broke off before its end.
        """
        response, _ = self._exchange(self._http.build_request("GET", path), stream=True)
        with closing(response):
            try:
                yield from _successful(response).iter_bytes()
            except httpx.TransportError as error:
                raise ServerUnreachable(f"the answer of {self.shown} broke off: {error}") from error

    def delete(self, path: str, **parts: Any) -> httpx.Response | None:
        """The successful reply; None if an earlier try removed the thing, but its reply was lost."""
        response, done_before = self._exchange(self._http.build_request("DELETE", path, **parts))
        return None if done_before and response.status_code == 404 else _successful(response)

    def answers(self, path: str) -> bool:
        """True if this path answers with success now; tries once."""
        try:
            return self._http.get(path).is_success
        except httpx.TransportError:
            return False

    def _remember(self, response: httpx.Response) -> None:
        """Takes what a change says that later answers must know, of whichever of several servers they are."""
        told = response.headers.get(_AT_LEAST, "")
        if told.isdecimal():
            with self._remembering:
                self._at_least = max(self._at_least, int(told))

    def _exchange(self, request: httpx.Request, *, stream: bool = False) -> tuple[httpx.Response, bool]:
        """The last try's reply, and whether an earlier try may have succeeded without a reply.

        Args:
            stream: leaves the body of a successful reply to be read.
        """
        done_before = False
        for attempt in range(1, TRIES + 1):
            pause = random.uniform(0.5, 1) * FIRST_PAUSE * 2 ** (attempt - 1)  # noqa: S311 - spreads clients out, keeps no secret
            if self._at_least:
                request.headers[_AT_LEAST] = str(self._at_least)
            try:
                response = self._http.send(request, stream=stream)
                self._remember(response)
                if not response.is_success:
                    response.read()
            except _BROKEN_CONNECTION as error:
                if _NOT_VERIFIED in str(error):  # Another try would end in the same way.
                    raise ServerUnreachable(
                        f"the certificate of {self.shown} cannot be verified: {error}{_OF_CERTIFICATES}"
                    ) from error
                if attempt == TRIES:
                    hints = _of_tls(error, request) + _of_large(error, request)
                    raise ServerUnreachable(f"no answer from {self.shown}: {error}{hints}") from error
                done_before |= not isinstance(error, _NEVER_SENT)
            except httpx.RequestError as error:
                raise ServerUnreachable(f"no usable answer from {self.shown}: {error or type(error).__name__}") from error
            else:
                asked = _retry_after(response) or 0.0
                if response.status_code not in _BUSY or attempt == TRIES or asked > LONGEST_PAUSE or _stays(response):
                    break
                pause += asked
                if response.status_code == TOO_MANY_REQUESTS and self._waiting is not None:
                    self._waiting(pause)
                done_before |= _may_be_done(response)
            time.sleep(pause)
        return response, done_before


def parse(kind: Callable[[Mapping[str, Any]], Reply], response: httpx.Response) -> Reply:
    """A reply's body as one of our types.

    Raises:
        UnexpectedReply: the body is not of this API.
    """
    try:
        return kind(response.json())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise foreign_reply(response) from error


def pages(
    transport: Transport,
    path: str,
    key: str,
    kind: Callable[[Mapping[str, Any]], Item],
    params: Mapping[str, bool] | None = None,
) -> Iterator[Item]:
    """All items of one of the API's lists; each page is fetched when its first item is needed."""

    def page(body: Mapping[str, Any]) -> tuple[list[Item], str | None]:
        return [kind(item) for item in body[key]], body["next_cursor"]

    cursor: str | None = None
    while True:
        items, cursor = parse(
            page, transport.send("GET", path, params={**(params or {}), **({"cursor": cursor} if cursor else {})})
        )
        yield from items
        if cursor is None:
            return


def _successful(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        error = api_error(response.status_code, response.json(), _retry_after(response))
    except (ValueError, KeyError, TypeError) as malformed:
        raise foreign_reply(response) from malformed
    raise error


def _of_tls(error: Exception, request: httpx.Request) -> str:
    """A hint where a server that speaks TLS may have been sent clear text: it closes the connection without an answer."""
    closed = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
    return " If the server speaks TLS, its address begins with https://." if closed and request.url.scheme == "http" else ""


def _of_large(error: Exception, request: httpx.Request) -> str:
    """A hint for large requests: a server that refuses a body often closes the connection at once."""
    size = int(request.headers.get("Content-Length", 0))
    if size < _LARGE or isinstance(error, _NEVER_SENT):
        return ""
    return f" The request had {size / 1e6:.1f} MB: does a proxy on the way limit the size of requests?"


def _may_be_done(response: httpx.Response) -> bool:
    """True for a failure after which the request may have been done: a proxy lost the server's answer, the server lost its
    database's, or what was removed is not yet out of its files."""
    uncertain = (b'"erasure_pending"', b"may have been stored")
    return response.status_code == BAD_GATEWAY or any(said in response.content for said in uncertain)


def _stays(response: httpx.Response) -> bool:
    """True for a Headstart server's refusal that waiting does not mend. Where waiting helps, it says `Retry-After`; a proxy may
    leave that out."""
    ours = response.headers.get("Content-Type", "").startswith(_PROBLEM)
    return ours and "Retry-After" not in response.headers


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds of `Retry-After`, which may also hold a date (RFC 9110, section 10.2.3); None without it."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
