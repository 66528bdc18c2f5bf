"""Replies that are sent as they are made, and cut off where they cannot be finished."""

import logging
from collections.abc import AsyncIterator, Mapping

from fastapi import Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from server.errors import HeadstartError
from server.http.dependencies import while_connected

_log = logging.getLogger(__name__)


class Streamed(Response):
    """A reply in pieces, of a length that is not known before.

    A piece is asked for when the client has taken those before it, and no more once the client has left. Where a piece cannot be
    made, the connection is closed without an end, so that nobody takes the reply for a whole one.
    """

    def __init__(self, pieces: AsyncIterator[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(media_type=media_type, headers={**headers})
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await while_connected(Request(scope, receive), self._send(send))
        except ClientDisconnect:
            return
        except HeadstartError as error:
            _log.warning("a reply was cut off: %s", error.code)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
