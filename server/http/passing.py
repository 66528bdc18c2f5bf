"""A request that a worker passes on to the owner, over a connection of its own.

One that is kept may be closed by an owner that is being replaced at the moment when it is used, and nobody could tell whether the
request was begun. The answer may come before the body has ended: the owner refuses a request without reading it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httptools
from starlette.requests import ClientDisconnect
from starlette.types import Receive

Headers = list[tuple[bytes, bytes]]

# Fields of one connection (RFC 9110, 7.6.1), and those that the worker's own connection writes.
_OF_CONNECTION = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"expect"})
_OF_ANSWER = _OF_CONNECTION | {b"date"}
_PIECE = 65_536  # most bytes that are read at once


class PassedOn:
    """A request at the owner. Its connection ends with its context, by which the owner learns that nobody awaits the answer.

    Attributes:
        has_body: whether the request has one.

    Raises:
        OSError: from `connect`, `answer` and `pieces`: the owner ended.
    """

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self.has_body = False
        self._chunked = False
        lines = [b"%s %s HTTP/1.1" % (scope["method"].encode(), _target(scope))]
        for name, value in scope["headers"]:
            if name == b"transfer-encoding":
                self._chunked = True
            self.has_body |= name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            if name not in _OF_CONNECTION:
                lines.append(name + b": " + value)
        if self._chunked:
            lines.append(b"transfer-encoding: chunked")
        self._head = b"\r\n".join([*lines, b"", b""])
        self._answer = _Answer(scope["method"] == "HEAD")

    @property
    def begun(self) -> bool:
        """True once the head of the answer is here."""
        return self._answer.begun

    async def connect(self, requests: Path) -> Self:
        """Sends the head to the owner's socket."""
        self._reader, self._writer = await asyncio.open_unix_connection(requests)
        self._writer.write(self._head)
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._writer.transport.abort()

    async def bring(self, receive: Receive) -> None:
        """Sends the body as it comes, and then waits for the client's leaving. It never returns.

        Raises:
            ClientDisconnect: the client has left.
            HeadstartError: what `receive` raises.
        """
        more = self.has_body
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            if more:
                more = message.get("more_body", False)
                with suppress(OSError):  # The owner reads no more: it has answered, or ended, and the answer's reader sees which.
                    self._writer.write(self._framed(message.get("body", b""), more))
                    await self._writer.drain()

    def _framed(self, piece: bytes, more: bool) -> bytes:
        if not self._chunked:
            return piece
        return (b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"") + (b"" if more else b"0\r\n\r\n")

    async def answer(self) -> tuple[int, Headers]:
        """Returns status and headers of the answer, once it has begun."""
        while not self._answer.begun:
            await self._read()
        return self._answer.status, [(name, value) for name, value in self._answer.headers if name not in _OF_ANSWER]

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields the body of the answer."""
        while True:
            for piece in self._answer.taken():
                yield piece
            if self._answer.complete:
                return
            await self._read()

    async def _read(self) -> None:
        if not (data := await self._reader.read(_PIECE)):
            raise ConnectionResetError("the owner ended before its answer did")
        self._answer.parser.feed_data(data)


class _Answer:
    """An answer as far as it has come. The parser calls the methods that begin with `on_`.

    Args:
        bodiless: whether it ends with its head, whatever that says.
    """

    def __init__(self, bodiless: bool) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.headers: Headers = []
        self.status = 0
        self.begun = self.complete = False
        self._bodiless = bodiless
        self._pieces: list[bytes] = []

    def taken(self) -> list[bytes]:
        """Returns what has come of the body since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status, self.begun, self.complete = self.parser.get_status_code(), True, self._bodiless

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self.complete = True


def _target(scope: Mapping[str, Any]) -> bytes:
    path: bytes = scope["raw_path"]
    return path + b"?" + scope["query_string"] if scope["query_string"] else path
