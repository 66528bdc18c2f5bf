"""What a worker refuses before it passes a request on."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from starlette.types import Message, Receive, Scope, Send

from server.errors import BodyTooLarge
from server.http.forwarding import Forwarding
from server.http.front import NOT_PASSED_ON, Front
from server.service import Service
from server.settings import Settings


class Refusing:
    """A front that admits every request, and keeps why one was not passed on."""

    def __init__(self) -> None:
        self.refused: list[Exception] = []

    async def admits(self, _scope: Scope) -> bool:
        return True

    async def __call__(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        self.refused.append(scope[NOT_PASSED_ON])


def test_the_owner_never_hears_of_a_body_that_is_declared_too_large(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, max_body_bytes=1000)
    front, service = Refusing(), cast(Service, SimpleNamespace(settings=settings))
    forwarding = Forwarding(cast(Front, front), service, tmp_path / "no owner")
    scope = {"type": "http", "method": "POST", "path": "/v1/tasks", "raw_path": b"/v1/tasks", "query_string": b""}

    async def never() -> Message:
        raise AssertionError

    async def unused(_message: Message) -> None:
        raise AssertionError

    asyncio.run(forwarding({**scope, "headers": [(b"content-length", b"1001")]}, never, unused))
    assert [type(error) for error in front.refused] == [BodyTooLarge]
