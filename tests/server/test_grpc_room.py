"""The memory that messages of gRPC may take together: a real gRPC server before an application that answers when it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from starlette.types import Receive, Scope, Send

from benchmarks.server_process import free_port
from server.context import tenant_id
from server.errors import Overloaded
from server.grpc import room
from server.grpc.door import GrpcDoor
from server.grpc.messages import SERVICE
from server.grpc.room import MessageRoom
from server.http.protocol import REFUSED
from server.settings import Settings, load_settings
from tests.helpers.grpc_calls import infer_request

_LARGEST = 100_000
_AT_ONCE = 8
_INFER, _METADATA, _LIVE, _READY = (f"/{SERVICE}/{name}" for name in ("ModelInfer", "ServerMetadata", "ServerLive", "ModelReady"))


def settings(*flags: str, largest: int = _LARGEST, patience: float = 0.5) -> Settings:
    return load_settings(["--max-body-bytes", str(largest), "--queue-seconds", str(patience), *flags])


class _Application:
    """Answers once it may, and refuses what came with an error."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.asked = 0

    async def admits(self, _scope: Scope) -> bool:
        return True

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        status: int = 200
        headers: list[tuple[bytes, bytes]] = []
        answer: dict[str, Any] = {}
        if (error := scope.get(REFUSED)) is not None:
            status, headers, answer = 503, [(b"retry-after", b"%d" % error.retry_after)], {"error": error.detail}
        elif scope["path"].endswith("/infer"):
            self.asked += 1
            answer = {"model_name": "t", "model_version": "1", "outputs": []}
            await self.may.wait()
        body = json.dumps(answer).encode()
        length = (b"inference-header-content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await send({"type": "http.response.body", "body": body})


class _Served:
    """A door before an application, and a channel to it."""

    def __init__(self, *flags: str, **limits: Any) -> None:
        self.app = _Application()
        port = free_port()
        self._door = GrpcDoor(self.app, settings("--grpc-port", str(port), *flags, **limits), 100, shared=False)
        self._address = f"127.0.0.1:{port}"

    async def __aenter__(self) -> "_Served":
        await self._door.open()
        self.channel = grpc.aio.insecure_channel(self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.app.may.set()
        await self.channel.close()
        await self._door.close()

    def infer(self, size: int) -> Any:
        return self.channel.unary_unary(_INFER)(infer_request("t", [bytes(size)]).SerializeToString(), timeout=20)

    async def until_asked(self, calls: int) -> None:
        async with asyncio.timeout(10):
            while self.app.asked < calls:
                await asyncio.sleep(0.01)


async def refusal(call: Any) -> tuple[StatusCode, str, dict[str, str]]:
    """The status, the text and the metadata of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or "", dict(error.value.trailing_metadata() or ())


def test_large_messages_are_bounded_together_and_small_ones_are_not() -> None:
    async def ask() -> None:
        async with _Served() as served:
            small = [served.infer(10) for _ in range(4 * _AT_ONCE)]
            await served.until_asked(len(small))
            large = [served.infer(_LARGEST - 1000) for _ in range(_AT_ONCE)]
            await served.until_asked(len(small) + len(large))
            code, said, told = await refusal(served.infer(_LARGEST - 1000))
            assert code is StatusCode.UNAVAILABLE
            assert "as many bytes as it takes" in said
            assert (told["retry-after"], told["grpc-retry-pushback-ms"]) == ("1", "1000")
            assert await served.channel.unary_unary(_METADATA)(b"", timeout=5) is not None
            ready = served.channel.unary_unary(_READY)(infer_request("t", []).SerializeToString(), timeout=5)
            assert (await refusal(ready))[0] is StatusCode.UNAVAILABLE, "nobody knows whether the model is ready"
            waiting = served.infer(10)
            await asyncio.sleep(0.1)
            assert served.app.asked == len(small) + len(large)
            served.app.may.set()
            assert all(await asyncio.gather(*small, *large, waiting))

    asyncio.run(ask())


def test_what_waits_is_not_taken_in() -> None:
    """But for 64 KB, also where the library has seen that the connection is fast."""
    largest, piece = 4_000_000, bytes(65_536)

    async def ask() -> None:
        async with _Served(largest=largest, patience=10) as served:
            large = [served.infer(largest - 1000) for _ in range(_AT_ONCE)]
            await served.until_asked(len(large))
            waiting = served.channel.stream_unary(_INFER)(timeout=20)
            taken = 0
            with suppress(TimeoutError):
                while taken < largest:
                    await asyncio.wait_for(waiting.write(piece), 0.3)
                    taken += len(piece)
            waiting.cancel()
            assert taken <= 4 * len(piece)

    asyncio.run(ask())


def test_messages_that_come_slowly_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_SECONDS_WHILE_OTHERS_WAIT", 0.3)

    async def silent() -> AsyncIterator[bytes]:
        await asyncio.sleep(20)
        yield b""

    async def ask() -> None:
        async with _Served(patience=10) as served:
            served.app.may.set()
            slow = [served.channel.stream_unary(_INFER)(silent(), timeout=20) for _ in range(_AT_ONCE)]
            await asyncio.sleep(0.5)
            assert not any(call.done() for call in slow), "nobody waits"
            assert await served.infer(10)
            for call in slow:
                code, said, _ = await refusal(call)
                assert (code, "while others waited" in said) == (StatusCode.UNAVAILABLE, True)

    asyncio.run(ask())


def test_a_call_without_fields_is_answered_unread() -> None:
    """Strangers may ask whether the server lives. What they send is not taken in."""

    async def endless() -> AsyncIterator[bytes]:
        await asyncio.sleep(20)
        yield bytes(_LARGEST)

    async def ask() -> None:
        async with _Served() as served:
            assert await served.channel.stream_unary(_LIVE)(endless(), timeout=5) == b""

    asyncio.run(ask())


def test_a_limit_beyond_an_int_of_c_is_taken() -> None:
    async def ask() -> None:
        async with _Served("--keep-alive", "3000000", "--header-timeout", "3000000", largest=2**31) as served:
            served.app.may.set()
            assert await served.infer(10)

    asyncio.run(ask())


def test_tenants_have_room_of_their_own_and_what_leaves_gives_back() -> None:
    async def hold(shared: MessageRoom, name: str, held: asyncio.Event) -> None:
        tenant_id.set(name)
        async with shared.place():
            held.set()
            await asyncio.sleep(60)

    async def ask() -> None:
        shared = MessageRoom(settings(patience=0.05))
        tasks = []
        for _ in range(_AT_ONCE):
            held = asyncio.Event()
            tasks.append(asyncio.ensure_future(hold(shared, "flood", held)))
            await asyncio.wait_for(held.wait(), 1)
        with pytest.raises(Overloaded):
            await hold(shared, "flood", held)
        waits = asyncio.ensure_future(hold(shared, "flood", asyncio.Event()))
        await asyncio.sleep(0)
        waits.cancel()
        other = asyncio.Event()
        tasks.append(asyncio.ensure_future(hold(shared, "other", other)))
        await asyncio.wait_for(other.wait(), 1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, waits, return_exceptions=True)
        tenant_id.set("flood")
        async with shared.place() as place:
            assert await shared.read(place, _some) == b"some"
            assert place.size == len(b"some")
            assert shared._held.total == place.size
        assert (shared._held.total, shared._waiting) == (0, {})

    asyncio.run(ask())


async def _some() -> bytes:
    return b"some"
