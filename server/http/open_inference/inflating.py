"""Bodies that come compressed, as clients of the protocol may send them (`Content-Encoding: gzip` or `deflate`, RFC 9110, 8.4).

They are inflated piece by piece below the limits of `server.http.bodies.limits`, which count what comes out: a small body that
becomes a large one is refused as early as one that came large.
"""

import asyncio
import zlib

from starlette.types import Message, Receive, Scope

from server.errors import InvalidRequest, UnsupportedMediaType

_PIECE = 262_144  # bytes that are inflated before others have their turn: about a millisecond
_WINDOWS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}  # bits of zlib: a gzip file, and zlib's own format


def inflated(scope: Scope, receive: Receive) -> Receive:
    """Returns what gives the messages of a request with its body as it was before it was compressed.

    It raises UnsupportedMediaType if it was compressed in another way, and InvalidRequest if not as the request says.
    """
    given = b",".join(value for name, value in scope["headers"] if name == b"content-encoding").strip().lower()
    if given in {b"", b"identity"}:
        return receive
    if given in _WINDOWS:
        return _Inflating(receive, zlib.decompressobj(_WINDOWS[given])).message

    async def refuse() -> Message:
        shown = given[:100].decode("latin-1")
        raise UnsupportedMediaType(f"a body with Content-Encoding {shown} is not taken; gzip and deflate are")

    return refuse


class _Inflating:
    def __init__(self, receive: Receive, inflater: "zlib._Decompress") -> None:
        self._receive = receive
        self._inflater = inflater
        self._compressed = b""
        self._more = True  # pieces of the compressed body that have not come
        self._full = False  # whether the last piece was as large as it may be, so that others may be ready

    async def message(self) -> Message:
        if self._compressed or self._full:
            await asyncio.sleep(0)
        elif self._more:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._compressed, self._more = message.get("body", b""), message.get("more_body", False)
        else:  # The client's leaving.
            return await self._receive()
        try:
            piece = self._inflater.decompress(self._compressed, _PIECE)
        except zlib.error:
            raise InvalidRequest("the body is not compressed as its Content-Encoding says") from None
        self._compressed, self._full = self._inflater.unconsumed_tail, len(piece) == _PIECE
        more = self._more or bool(self._compressed) or self._full
        if self._inflater.unused_data or not (more or self._inflater.eof):
            raise InvalidRequest("the compressed body is cut, or goes on after its end")
        return {"type": "http.request", "body": piece, "more_body": more}
