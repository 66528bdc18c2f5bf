"""Calls of gRPC for the load generator, over plain sockets.

grpcio's own client takes several times the processor time of plain sockets. On the same machine it would count as the server's.
The frames are those of RFC 9113, and a call is that of https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

import socket
import struct
import time
from collections.abc import Iterator

from benchmarks.serving.load import LoadError, Reply

_RECEIVE = 2**18
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME = struct.Struct(">HBBBL")  # the length in two parts, the type, flags and the stream
_SETTING, _NUMBER, _MESSAGE = struct.Struct(">HL"), struct.Struct(">L"), struct.Struct(">BL")
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOING, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_INITIAL_WINDOW = 4
_WIDE, _FIRST_WINDOW, _LONGEST = 2**31 - 1, 65_535, 16_384


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return _FRAME.pack(len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """Returns a header that goes into no table (RFC 7541, section 6.2.2), so that each call has the same bytes."""
    return bytes((0, len(name))) + name + bytes((len(value),)) + value


_HEAD = b"".join(
    _literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/inference.GRPCInferenceService/ModelInfer"),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)


class GrpcChannel:
    """A connection with at most one call of ModelInfer under way. A call that fails has the status 500."""

    def __init__(self, address: tuple[str, int], keep_bodies: bool) -> None:
        self._keep_bodies = keep_bodies
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wide = _frame(_SETTINGS, 0, 0, _SETTING.pack(_INITIAL_WINDOW, _WIDE))
        self.socket.sendall(_PREFACE + wide + _frame(_WINDOW, 0, 0, _NUMBER.pack(_WIDE - _FIRST_WINDOW)))
        self._received = bytearray()
        self._unsent = memoryview(b"")
        self._body = bytearray()
        self._since = 0.0
        self._stream = -1
        self._windows = {0: _FIRST_WINDOW}  # bytes that the server still takes, of all streams and of this one
        self._initial_window = _FIRST_WINDOW

    def close(self) -> None:
        self.socket.close()

    def send(self, request: bytes, since: float) -> None:
        """Sends a message as far as the server takes it; `receive` sends the rest."""
        self._since = since
        self._stream += 2
        self._windows = {0: self._windows[0], self._stream: self._initial_window}
        self._unsent = memoryview(_MESSAGE.pack(0, len(request)) + request)
        self._body.clear()
        self._go_on(_frame(_HEADERS, _END_HEADERS, self._stream, _HEAD))

    def _go_on(self, before: bytes = b"") -> None:
        frames = [before]
        while self._unsent and (size := min(*self._windows.values(), _LONGEST, len(self._unsent))) > 0:
            part, self._unsent = self._unsent[:size], self._unsent[size:]
            frames.append(_frame(_DATA, 0 if self._unsent else _END_STREAM, self._stream, bytes(part)))
            for stream in self._windows:
                self._windows[stream] -= size
        self.socket.sendall(b"".join(frames))

    def receive(self) -> Reply | None:
        """Returns the reply, once it is whole.

        Raises:
            LoadError: the server closed the connection.
        """
        data = self.socket.recv(_RECEIVE)
        if not data:
            raise LoadError("the server closed a connection")
        self._received += data
        reply = None
        for kind, flags, stream, payload in self._frames():
            if kind == _SETTINGS and not flags & _ACK:
                self._take_settings(payload)
            elif kind == _PING and not flags & _ACK:
                self.socket.sendall(_frame(_PING, _ACK, 0, payload))
            elif kind == _WINDOW and stream in self._windows:
                self._windows[stream] += _NUMBER.unpack(payload)[0]
                self._go_on()
            elif kind == _GOING:
                raise LoadError("the server closed a connection")
            elif stream == self._stream:
                self._body += payload if kind == _DATA else b""
                if kind == _RESET or (kind == _HEADERS and flags & _END_STREAM):
                    reply = self._reply()
        return reply

    def _take_settings(self, payload: bytes) -> None:
        for name, value in _SETTING.iter_unpack(payload):
            if name == _INITIAL_WINDOW:
                if self._stream in self._windows:
                    self._windows[self._stream] += value - self._initial_window
                self._initial_window = value
        self.socket.sendall(_frame(_SETTINGS, _ACK, 0))

    def _reply(self) -> Reply:
        status = 200 if self._body else 500  # Only an answer without error has a message.
        kept = bytes(self._body[_MESSAGE.size :]) if self._keep_bodies else b""
        return Reply(status, time.perf_counter() - self._since, False, kept)

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        while len(self._received) >= _FRAME.size:
            high, low, kind, flags, stream = _FRAME.unpack_from(self._received)
            end = _FRAME.size + (high << 8) + low
            if len(self._received) < end:
                return
            payload = bytes(self._received[_FRAME.size : end])
            del self._received[:end]
            yield kind, flags, stream, payload
