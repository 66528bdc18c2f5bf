"""The asynchronous client on an event loop: many calls at once, calls that are cancelled, and a loop that goes on meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from headstart import AsyncClient, Overloaded, ServerUnreachable
from tests.helpers.samples import SAMPLES, Labelled
from tests.helpers.scripted_server import PAIR, TASK, Answer, Sent, network, problem
from tests.helpers.servers import ServerProcess

Message = MutableMapping[str, Any]


def test_calls_of_many_tasks_share_a_client(server: ServerProcess, queries: Labelled) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            task = await client.create_task("shared", SAMPLES / "support")
            alone = [(await client.predict(task.id, image)).checked() for _, image in queries[:10]]
            together = await asyncio.gather(*(client.predict(task.id, image) for _, image in queries[:10]))
            for each, (expected,) in zip(together, alone, strict=True):
                (found,) = each.checked()
                assert (found.label, found.known) == (expected.label, expected.known)
                assert found.scores == pytest.approx(expected.scores, abs=1e-4)  # A batch sums in another order.

    asyncio.run(main())


async def cancelled(call: Coroutine[Any, Any, Any], sent: list[Sent]) -> None:
    """Cancels a call once its request has arrived."""
    calling = asyncio.create_task(call)
    while not sent:
        await asyncio.sleep(0.01)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


def test_a_cancelled_call_ends_at_once_and_the_client_goes_on() -> None:
    async def main(url: str, sent: list[Sent]) -> None:
        async with AsyncClient(url) as client:
            began = time.monotonic()
            await cancelled(client.task("task_1"), sent)
            assert (await client.task("task_1")).id == "task_1"
            assert time.monotonic() - began < 5

    with network(Answer(200, TASK, after=6), Answer(200, TASK)) as (blocking, sent):
        asyncio.run(main(blocking.url, sent))
    assert len(sent) == 2, "what was cancelled is not tried again"


def test_a_call_is_cancelled_while_it_waits_for_another_try() -> None:
    async def main(url: str, sent: list[Sent]) -> None:
        async with AsyncClient(url) as client:
            await cancelled(client.create_task("n", PAIR), sent)

    with network(problem(503, "overloaded", "30")) as (blocking, sent):
        asyncio.run(main(blocking.url, sent))
    assert len(sent) == 1


def test_a_cancelled_download_leaves_no_file(tmp_path: Path) -> None:
    async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 100)
        await writer.drain()
        started.set()
        await reader.read()
        left.set()
        writer.close()

    async def main() -> None:
        listening = await asyncio.start_server(trickling, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening, AsyncClient(f"http://127.0.0.1:{port}") as client:
            saving = asyncio.create_task(client.archive("task_1", tmp_path / "task.zip"))
            await started.wait()
            while not any(path.suffix == ".part" for path in tmp_path.iterdir()):
                await asyncio.sleep(0.01)
            saving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await saving
            assert not list(tmp_path.iterdir())
            async with asyncio.timeout(5):
                await left.wait()

    started, left = asyncio.Event(), asyncio.Event()
    asyncio.run(main())


def test_the_loop_goes_on_while_an_image_is_read() -> None:
    class Slow:
        def read(self) -> bytes:
            time.sleep(0.5)
            return b"1"

    async def main(url: str) -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.02)
                ticks += 1

        async with AsyncClient(url) as client:
            ticking = asyncio.create_task(tick())
            await client.create_task("n", [("a", Slow()), ("b", b"2")])
            ticking.cancel()
        return ticks

    with network(Answer(201, TASK)) as (blocking, _):
        assert asyncio.run(main(blocking.url)) > 5


def test_a_transport_of_the_callers_is_used_once_and_gets_no_key_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADSTART_TOKEN", "somebody-elses")
    seen: list[Message] = []

    async def app(scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        seen.append(scope)
        body = b'{"code": "overloaded", "detail": "why"}'
        await send({"type": "http.response.start", "status": 503, "headers": [(b"retry-after", b"0")]})
        await send({"type": "http.response.body", "body": body})

    async def main() -> None:
        async with AsyncClient("http://localhost", headers={"X-Mine": "1"}, transport=httpx.ASGITransport(app)) as client:
            with pytest.raises(Overloaded):
                await client.task("task_1")

    asyncio.run(main())
    (scope,) = seen
    headers = dict(scope["headers"])
    assert (scope["path"], headers[b"x-mine"], headers.get(b"authorization")) == ("/v1/tasks/task_1", b"1", None)


def test_nothing_listens() -> None:
    async def main() -> None:
        async with AsyncClient("http://127.0.0.1:9") as client:
            with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
                await client.task("task_1")

    asyncio.run(main())
