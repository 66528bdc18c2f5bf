"""A cheap load generator in a process of its own. It sends whole requests over plain sockets.

In a closed loop each connection sends its next request as soon as the last is answered. In an open loop requests leave on a
schedule and are timed from when they were due. So a server that falls behind cannot slow down the measurement (coordinated
omission).
"""

import math
import multiprocessing
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import httpx
import numpy as np

_RECEIVE = 2**18
_GRACE = 30.0  # seconds for the last replies


class LoadError(Exception):
    """The server ended a connection, or left requests without an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answered request.

    Attributes:
        seconds: until the last byte of the reply, from when the request was sent, or in an open loop was due.
        retry_after: whether the reply says when to come again.
        body: empty unless bodies are kept.
        work: seconds of a processor that the server's process used meanwhile, where that is watched.
    """

    status: int
    seconds: float
    retry_after: bool
    body: bytes
    work: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """The replies to a load.

    Attributes:
        seconds: from the first request until the last reply.
        cores: how many processor cores the generator kept busy meanwhile.
    """

    replies: Sequence[Reply]
    seconds: float
    cores: float

    def count(self, status: int) -> int:
        """Returns the number of replies with that status."""
        return sum(reply.status == status for reply in self.replies)

    def percentile(self, percent: float, status: int = 200) -> float:
        """Returns a percentile of the seconds of replies with that status; NaN if there is none."""
        seconds = [reply.seconds for reply in self.replies if reply.status == status]
        return float(np.percentile(seconds, percent)) if seconds else math.nan


def post(path: str, body: bytes, content_type: str, key: str | None = None, **headers: str) -> bytes:
    """Returns a whole HTTP/1.1 request, with an API key if there is one, and further headers by their names in snake case."""
    return _request("POST", path, body, content_type, key, **headers)


def patch(path: str, body: bytes) -> bytes:
    """Returns a whole HTTP/1.1 request that changes something by JSON."""
    return _request("PATCH", path, body, "application/json")


def _request(method: str, path: str, body: bytes, content_type: str, key: str | None = None, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body


def post_form(
    path: str, files: Sequence[tuple[str, Any]], data: Mapping[str, Any] | None = None, key: str | None = None
) -> bytes:
    """Returns a whole HTTP/1.1 request with a multipart body, of files and data as httpx takes them."""
    form = httpx.Request("POST", f"http://localhost{path}", files=files, data=data)
    return post(path, form.read(), form.headers["content-type"], key)


def post_images(path: str, images: Sequence[bytes]) -> list[bytes]:
    """Returns a whole HTTP/1.1 request for each PNG, which is its body."""
    return [post(path, image, "image/png") for image in images]


class LoadGenerator:
    """The generator's process. It idles while it has nothing to do, and ends with its context.

    Args:
        url: of the server; only its host and port count.
        connect: opens a connection; None for one of HTTP. A class or function of a module, since it runs in the other process.
    """

    def __init__(self, url: str, connect: "Connect | None" = None) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, (parts.hostname, parts.port), connect or HttpChannel), daemon=True
        )
        self._process.start()

    def closed(self, requests: Sequence[bytes], connections: int, count: int) -> Outcome:
        """Sends `count` requests, `connections` at a time; `requests` are taken in turn.

        Raises:
            LoadError: a request got no answer.
        """
        return self._run(Job(requests, connections, count, None))

    def open(
        self, requests: Sequence[bytes], connections: int, rate: float, seconds: float, *, keep_bodies: bool = False
    ) -> Outcome:
        """Sends `rate` requests per second for so long, over at most so many connections; `requests` are taken in turn.

        Raises:
            LoadError: a request got no answer.
        """
        return self._run(Job(requests, connections, round(rate * seconds), rate, keep_bodies))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self._pipe.close()
        self._process.join()

    def _run(self, job: "Job") -> Outcome:
        self._pipe.send(job)
        answer = self._pipe.recv()
        if isinstance(answer, LoadError):
            raise answer
        assert isinstance(answer, Outcome)
        return answer


@dataclass(frozen=True)
class Job:
    """A load. Its rate is None in a closed loop."""

    requests: Sequence[bytes]
    connections: int
    count: int
    rate: float | None
    keep_bodies: bool = False


class Channel(Protocol):
    """A connection with at most one request under way."""

    socket: socket.socket

    def close(self) -> None:
        """Ends the connection."""

    def send(self, request: bytes, since: float) -> None:
        """Sends a request that is timed from a moment of `time.perf_counter`."""

    def receive(self) -> Reply | None:
        """Takes what the socket has, and returns the reply once it is whole.

        Raises:
            LoadError: the server closed the connection.
        """


Connect = Callable[[tuple[str, int], bool], Channel]
"""A function that connects to a host and port. The flag is whether replies keep their bodies."""


def _serve(pipe: Connection, address: tuple[str, int], connect: Connect) -> None:
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(_drive(job, address, connect))
        except (OSError, LoadError) as error:
            pipe.send(LoadError(str(error)))


def _drive(job: Job, address: tuple[str, int], connect: Connect) -> Outcome:
    with selectors.DefaultSelector() as selector, ExitStack() as connected:
        idle = deque(connected.enter_context(closing(connect(address, job.keep_bodies))) for _ in range(job.connections))
        for channel in idle:
            selector.register(channel.socket, selectors.EVENT_READ, channel)
        replies: list[Reply] = []
        requests = cycle(job.requests)
        sent = 0
        processor, start = time.process_time(), time.perf_counter()
        while len(replies) < job.count:
            now = time.perf_counter()
            while sent < job.count and idle and (due := start + sent / job.rate if job.rate else now) <= now:
                idle.popleft().send(next(requests), due)
                sent += 1
            awaiting_due = sent < job.count and bool(idle)
            ready = selector.select(max(0.0, due - now) if awaiting_due else _GRACE)
            if not ready and not awaiting_due:
                raise LoadError(f"{job.count - len(replies)} requests had no answer within {_GRACE:g} s")
            for key, _ in ready:
                if reply := key.data.receive():
                    replies.append(reply)
                    idle.append(key.data)
        seconds, busy = time.perf_counter() - start, time.process_time() - processor
    return Outcome(replies, seconds, busy / seconds)


class HttpChannel:
    """A connection of HTTP/1.1."""

    def __init__(self, address: tuple[str, int], keep_bodies: bool) -> None:
        self._keep_bodies = keep_bodies
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._since = 0.0

    def close(self) -> None:
        self.socket.close()

    def send(self, request: bytes, since: float) -> None:
        self._since = since
        self.socket.sendall(request)

    def receive(self) -> Reply | None:
        data = self.socket.recv(_RECEIVE)
        if not data:
            raise LoadError("the server closed a connection")
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        status, *lines = bytes(head).lower().split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        length = headers.get(b"content-length")
        if len(body) < int(length) if length else not body.endswith(b"0\r\n\r\n"):  # which ends the last of several chunks
            return None
        taken, kept = time.perf_counter() - self._since, bytes(body) if self._keep_bodies else b""
        self._received.clear()
        return Reply(int(status.split()[1]), taken, b"retry-after" in headers, kept)
