"""HTTP/1.1 on a socket: uvicorn's protocol on httptools, with limits that it lacks.

- An upgrade that the server does not support is ignored (RFC 9110, 7.8). llhttp, the parser below, would drop the body of such a
  request, or read it as the next request.
- The head of a request, its URL and its `Content-Length` are bounded. Fields after a body are no headers.
- A connection is closed if its client sends nothing, sends too slowly, or does not read the answer.
- The number of open connections is bounded. A new one takes the place of the one that has been silent or idle longest.

A request that cannot be served reaches the application with the error under `REFUSED` in its scope. So it is answered in its
turn, in the form of every other error, logged and counted.
"""

import asyncio
from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server.errors import HeadersTooLarge, HeaderTimeout, HeadstartError, MalformedRequest, Overloaded, UrlTooLong
from server.http.connections import Connections

if TYPE_CHECKING:
    from uvicorn.server import ServerState

REFUSED = "headstart.refused"
HEAD_LIMIT = 65_536  # bytes of a URL, and of all headers together

_LENGTH_DIGITS = 20  # of the largest that the parser counts to, 2⁶⁴ − 1
_UPGRADE = frozenset({b"upgrade", b"http2-settings"})
_AROUND_THE_URL = 64  # bytes of a request's first line: method and version
_SHOWN = 200  # characters of a refused request's URL in the log
_FAREWELL_SECONDS = 2.0


def check_protocol(scope: Mapping[str, Any]) -> None:
    """Raises the error with which the connection refuses a request, if any."""
    if error := scope.get(REFUSED):
        raise error


class Config(uvicorn.Config):
    """Uvicorn's configuration, and the state that its connections share."""

    def __init__(self, app: Any, connections: Connections, **others: Any) -> None:
        super().__init__(app, http=Connection, ws="none", **others)
        self.shared = connections


class _Reading(Enum):
    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class Connection(HttpToolsProtocol):
    """One connection. Uvicorn's timer for idle ones here also waits for heads, and for bodies that follow their answer."""

    config: Config

    def __init__(
        self,
        config: Config,
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._shared = config.shared
        self._reading = _Reading.NOTHING
        self._deaf = False
        self._leaving = False
        self._head_bytes = 0  # of this request's head, as far as it has been parsed
        self._fed_bytes = 0  # of the same, parsed or not
        self._chunk_bytes = 0
        self._answering: RequestResponseCycle | None = None
        self._reader_watch: asyncio.TimerHandle | None = None

    # Called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._shared.make_room(len(self.connections)):
            self._refuse(Overloaded("as many connections are open as the server takes at once; try again"))
            self.cycle.transport = transport  # Its descriptor is wanted.
            return
        self._shared.silent[self] = self.leave
        self._wait(self._shared.head_seconds, self.leave)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.is_busy(self)
        self._unset_keepalive_if_required()
        self._forget_the_reader()
        super().connection_lost(exc)
        if self._answering is not None:  # Uvicorn tells only the last request that has come.
            self._answering.disconnected = True
            self._answering.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        before = self._reading
        self._chunk_bytes = len(data) if before is _Reading.NOTHING else 0
        if before is _Reading.HEAD:
            self._fed_bytes += len(data)
        try:
            self._parse(data)
            if self._reading is _Reading.HEAD and self._fed_bytes - len(self.url) > HEAD_LIMIT + _AROUND_THE_URL:
                raise HeadersTooLarge(HEAD_LIMIT)
        except httptools.HttpParserError as error:
            known = error.__context__
            self._refuse(known if isinstance(known, HeadstartError) else MalformedRequest("this is not HTTP/1.1"))
        except HeadstartError as error:
            self._refuse(error)
        else:
            if self._reading is _Reading.HEAD and (before is not _Reading.HEAD or self.timeout_keep_alive_task is None):
                self._wait(self._shared.head_seconds, self._head_is_late)

    def shutdown(self) -> None:
        self._leaving = self._shared.linger_seconds > 0
        if self._leaving and (self.cycle is None or self.cycle.response_complete):
            self._wait(self._shared.linger_seconds, self.leave)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_the_reader()

    def resume_writing(self) -> None:
        self._forget_the_reader()
        super().resume_writing()

    # Called by the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._shared.is_busy(self)
        self._reading = _Reading.HEAD
        self._head_bytes = 0
        self._fed_bytes, self._chunk_bytes = self._chunk_bytes, 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > HEAD_LIMIT:
            raise UrlTooLong(HEAD_LIMIT)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEAD_LIMIT:
            raise HeadersTooLarge(HEAD_LIMIT)
        if self._reading is _Reading.BODY:  # A field after the body; nothing here knows one (RFC 9110, 6.5.1).
            return
        super().on_header(name, value)
        if len(value) > _LENGTH_DIGITS and name.lower() == b"content-length":
            raise MalformedRequest(f"Content-Length has {len(value)} digits")

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise MalformedRequest("CONNECT is for proxies, and this is none")
            return  # `_parse` reads it again as a plain request.
        self._unset_keepalive_if_required()
        if not self.url.startswith(b"/"):
            self._take_host_from_url()
        super().on_headers_complete()
        if self._leaving or self._shared.leaving.begun:
            self.cycle.keep_alive = False
        self._reading = _Reading.BODY

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._reading = _Reading.NOTHING
        super().on_message_complete()
        if self.cycle.response_complete:  # It was answered before it had been read.
            self._wait_for_the_next()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_the_reader()
        elif self._deaf:
            self._unset_keepalive_if_required()
        elif self._reading is _Reading.HEAD:
            self._wait(self._shared.head_seconds, self._head_is_late)
        elif self._reading is _Reading.BODY:
            self._unset_keepalive_if_required()
            if self.cycle.response_complete:
                self._wait(self._shared.body_seconds, self.transport.abort)
        elif self.cycle.response_complete:
            self._shared.idle[self] = self.leave  # Uvicorn has set its timer.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    # Called by the methods above

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                head = self._head_without_upgrade()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
                self.parser.feed_data(head)

    def _head_without_upgrade(self) -> bytes:
        """Returns the head of the request at hand, without what asks for another protocol."""
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                lines.append(b"connection: " + b", ".join(token for token in tokens if token.lower() not in _UPGRADE))
            elif name not in _UPGRADE:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def _take_host_from_url(self) -> None:
        """Takes the host of `GET http://name/path` from the address, and not from the `Host` header (RFC 9112, 3.2.2)."""
        parts = httptools.parse_url(self.url)
        if parts.host is None:
            raise MalformedRequest("the URL names no host and does not begin with a slash")
        host = b"[%s]" % parts.host if b":" in parts.host else parts.host
        authority = b"%s:%d" % (host, parts.port) if parts.port else host
        self.headers[:] = [(name, authority if name == b"host" else value) for name, value in self.headers]

    def _refuse(self, error: HeadstartError) -> None:
        """Answers what cannot be served, after the requests before it, and reads no more."""
        self._deaf = True
        self._shared.is_busy(self)
        self._unset_keepalive_if_required()
        if self._reading is not _Reading.BODY:
            self._begin_refused()
        scope: Any = self.cycle.scope
        scope[REFUSED] = error
        self.cycle.keep_alive = False
        self.cycle.transport = _Farewell(self)  # type: ignore[assignment]
        self.cycle.message_event.set()
        if self.cycle.response_complete:
            self.cycle.transport.close()

    def _begin_refused(self) -> None:
        """Begins a request without a body in the place of one whose head cannot be read."""
        known = self._reading is _Reading.HEAD and self.url
        method, url = (self.parser.get_method().decode(), self.url) if known else ("-", b"-")
        self.parser = httptools.HttpRequestParser(self)
        self.on_message_begin()
        self.url = b"/"
        super().on_headers_complete()
        self.cycle.scope.update({"method": method, "path": url[:_SHOWN].decode("latin-1"), "http_version": "1.1"})
        self.cycle.more_body = False

    def leave(self) -> None:
        """Closes the connection, at the latest when the other side has not read what was written in time."""
        self._shared.is_busy(self)
        self.transport.close()
        self._watch_the_reader()

    timeout_keep_alive_handler = leave

    def _head_is_late(self) -> None:
        if self.flow.read_paused:  # It waits for us.
            self._wait(self._shared.head_seconds, self._head_is_late)
            return
        self._refuse(HeaderTimeout(f"the head of the request took longer than {self._shared.head_seconds:g} seconds"))

    def _wait(self, seconds: float, then: Any) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, then)

    def _wait_for_the_next(self) -> None:
        if not self.pipeline:
            self._shared.idle[self] = self.leave
            self._wait(self.timeout_keep_alive, self.leave)

    def _watch_the_reader(self) -> None:
        """Ends the connection unless the other side reads what is written."""
        self._forget_the_reader()
        unread = self.transport.get_write_buffer_size()
        self._reader_watch = self.loop.call_later(self._shared.body_seconds, self._look_after_the_reader, unread)

    def _look_after_the_reader(self, unread: int) -> None:
        read = unread - self.transport.get_write_buffer_size()
        if read < self._shared.body_rate * self._shared.body_seconds:
            self.transport.abort()
        else:
            self._watch_the_reader()

    def _forget_the_reader(self) -> None:
        if self._reader_watch is not None:
            self._reader_watch.cancel()
            self._reader_watch = None


class _Farewell:
    """The transport of the last answer.

    A socket that is closed with bytes unread is reset, and the answer may be lost. So the other side gets time to read it, and
    whatever it is still sending is thrown away.
    """

    def __init__(self, connection: Connection) -> None:
        self._transport = connection.transport
        self._loop = connection.loop

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:  # TLS, which says so itself, and throws away what comes until then.
                self._transport.close()
            self._loop.call_later(_FAREWELL_SECONDS, self._transport.abort)
