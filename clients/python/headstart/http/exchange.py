"""Requests and their responses, as steps: retried where that is safe, and turned into replies or errors of ours."""

import random
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

import httpx

from headstart.errors import ServerUnreachable, api_error
from headstart.http.foreign_replies import foreign_reply
from headstart.http.steps import Pause, Reply, Save, Send, Steps

TRIES = 4
FIRST_PAUSE = 0.2
# Seconds, after which a quota of a minute is whole again. A server that asks for a longer pause is not waited for.
LONGEST_PAUSE = 60.0
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


class Exchange:
    """The common part of all requests to one server, for any number of threads or tasks.

    Every request of this API may be sent twice. To read, remove, set, open or compare twice has the effect of once, and a POST
    that creates carries an `Idempotency-Key`.

    Where several servers share a database, each answer knows at least of all changes that were made here before.

    Args:
        shown: the server's address, as people may see it.
        build: makes a request of the method, the path, and httpx's `params`, `json`, `data`, `files`, `headers`.
        tries: how often a request is sent at most.
        waiting: called with the seconds that a request is about to wait for a quota.
    """

    def __init__(
        self,
        shown: str,
        build: Callable[..., httpx.Request],
        tries: int | None = None,
        waiting: Callable[[float], None] | None = None,
    ) -> None:
        self.shown = shown
        self._build = build
        self._tries = tries
        self._waiting = waiting
        self._at_least = 0
        self._remembering = threading.Lock()

    def send(self, method: str, path: str, **parts: Any) -> Steps[httpx.Response]:
        """Steps to the successful response to a request; `parts` are httpx's, as of `build`."""
        response, _ = yield from self._exchange(self._build(method, path, **parts))
        return _successful(response)

    def download(self, path: str, file: BinaryIO) -> Steps[None]:
        """Writes the body of a successful response to a file. It is asked for again only before anything was written.

        Raises:
            ServerUnreachable: it broke off before its end.
        """
        response, _ = yield from self._exchange(self._build("GET", path), stream=True)
        try:
            yield Save(_successful(response), file)
        except httpx.TransportError as error:
            raise ServerUnreachable(f"the answer of {self.shown} broke off: {error}") from error

    def delete(self, path: str, **parts: Any) -> Steps[httpx.Response | None]:
        """Steps to the successful response; None if an earlier try removed the thing, but its response was lost."""
        response, done_before = yield from self._exchange(self._build("DELETE", path, **parts))
        return None if done_before and response.status_code == 404 else _successful(response)

    def answers(self, path: str) -> Steps[bool]:
        """Steps to whether this path answers with success now; tries once."""
        try:
            response: httpx.Response = yield Send(self._build("GET", path), stream=False)
        except httpx.TransportError:
            return False
        return response.is_success

    def _remember(self, response: httpx.Response) -> None:
        """Takes what a change says that later answers must know, of whichever of several servers they are."""
        told = response.headers.get(_AT_LEAST, "")
        if told.isdecimal():
            with self._remembering:
                self._at_least = max(self._at_least, int(told))

    def _exchange(self, request: httpx.Request, *, stream: bool = False) -> Steps[tuple[httpx.Response, bool]]:
        """Steps to the last try's response, and whether an earlier try may have succeeded without one.

        Args:
            stream: leaves the body of a successful response to be read.
        """
        done_before = False
        tries = self._tries or TRIES
        for attempt in range(1, tries + 1):
            pause = random.uniform(0.5, 1) * FIRST_PAUSE * 2 ** (attempt - 1)  # noqa: S311 - spreads clients out, keeps no secret
            if self._at_least:
                request.headers[_AT_LEAST] = str(self._at_least)
            try:
                response: httpx.Response = yield Send(request, stream)
                self._remember(response)
            except _BROKEN_CONNECTION as error:
                if _NOT_VERIFIED in str(error):  # Another try would end in the same way.
                    raise ServerUnreachable(
                        f"the certificate of {self.shown} cannot be verified: {error}{_OF_CERTIFICATES}"
                    ) from error
                if attempt == tries:
                    hints = _of_tls(error, request) + _of_large(error, request)
                    raise ServerUnreachable(f"no answer from {self.shown}: {error}{hints}") from error
                done_before |= not isinstance(error, _NEVER_SENT)
            except httpx.RequestError as error:
                raise ServerUnreachable(f"no usable answer from {self.shown}: {error or type(error).__name__}") from error
            else:
                asked = _retry_after(response) or 0.0
                if response.status_code not in _BUSY or attempt == tries or asked > LONGEST_PAUSE or _stays(response):
                    break
                pause += asked
                if response.status_code == TOO_MANY_REQUESTS and self._waiting is not None:
                    self._waiting(pause)
                done_before |= _may_be_done(response)
            yield Pause(pause)
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
