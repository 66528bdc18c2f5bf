"""Clients that do not give up, in a process of their own: those who keep a pace, and those who flood.

Both open a new connection where the server has ended one. A reply is timed from when its request was sent, or at a pace was due.
"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from benchmarks.serving.load import Reply

CUT = 0
"""The status of a request whose connection ended before the reply."""

_PAUSE = 0.05  # seconds before a connection that was cut is opened again
_GRACE = 30.0  # seconds for the last replies at a pace


class Crowd:
    """A process of clients of one server.

    Args:
        port: of the server, on this machine.
        niceness: added to that of this process, for clients that would not run on the server's machine.
    """

    def __init__(self, port: int, niceness: int = 0) -> None:
        self._port = port
        self._process = ProcessPoolExecutor(1, get_context("spawn"), os.nice, (niceness,))
        self._process.submit(int).result()  # It is there before any clock runs.

    def keep_pace(self, requests: Sequence[bytes], rate: float, seconds: float, watched: int) -> "Future[list[Reply]]":
        """Sends `rate` requests a second, taken in turn, whatever the server does. All are answered or cut in the end.

        Args:
            watched: the server's process, for `Reply.work`.
        """
        return self._process.submit(_at_pace, self._port, requests, rate, seconds, watched)

    def flood(self, requests: Sequence[bytes], connections: int, seconds: float) -> "Future[list[Reply]]":
        """Sends requests over so many connections as fast as they are answered, and leaves those that are not by then."""
        return self._process.submit(_flooding, self._port, requests, connections, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self._process.shutdown()


class _Client:
    """A connection, opened again when it is cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, since: float) -> Reply:
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(request)
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
            headers = dict(line.split(b": ", 1) for line in lines if line)
            await reader.readexactly(int(headers[b"content-length"]))
            if headers.get(b"connection") == b"close":
                self.close()
            return Reply(int(status.split()[1]), time.perf_counter() - since, b"retry-after" in headers, b"")
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return Reply(CUT, time.perf_counter() - since, False, b"")

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _flooding(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> list[Reply]:
    return asyncio.run(_flood(port, requests, connections, seconds))


def _at_pace(port: int, requests: Sequence[bytes], rate: float, seconds: float, watched: int) -> list[Reply]:
    return asyncio.run(_keep_pace(port, requests, rate, seconds, _clock_of(watched)))


def _clock_of(process: int) -> int:
    """Returns Linux's clock of the processor time of a process, as clock_getcpuclockid(3) does."""
    return ~process << 3 | 2


async def _keep_pace(port: int, requests: Sequence[bytes], rate: float, seconds: float, clock: int) -> list[Reply]:
    idle: list[_Client] = []
    start = time.perf_counter()

    async def ask(number: int, request: bytes) -> Reply:
        due = start + number / rate
        await asyncio.sleep(due - time.perf_counter())
        client = idle.pop() if idle else _Client(port)
        used = time.clock_gettime(clock)
        reply = await client.ask(request, due)
        idle.append(client)
        return replace(reply, work=time.clock_gettime(clock) - used)

    taken: Iterator[bytes] = cycle(requests)
    async with asyncio.timeout(seconds + _GRACE):
        replies = await asyncio.gather(*(ask(number, next(taken)) for number in range(round(rate * seconds))))
    for client in idle:
        client.close()
    return replies


async def _flood(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> list[Reply]:
    replies: list[Reply] = []
    taken: Iterator[bytes] = cycle(requests)

    async def hammer() -> None:
        client = _Client(port)
        try:
            while True:
                reply = await client.ask(next(taken), time.perf_counter())
                replies.append(reply)
                if reply.status == CUT:
                    await asyncio.sleep(_PAUSE)
        finally:
            client.close()

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(hammer() for _ in range(connections)))
    return replies
