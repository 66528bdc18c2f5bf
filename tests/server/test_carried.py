"""Requests of httpx inside the process: their heads, and whose they are."""

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from server.http.at_least import NAME
from server.http.carried import URL, Carried, asked_by
from server.http.inside import Inside
from server.settings import Settings


class Echo:
    """An application that keeps what it is asked, and answers with the body."""

    def __init__(self) -> None:
        self.asked: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope)
        message = await receive()
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-of", b"ours")]})
        await send({"type": "http.response.body", "body": message["body"]})

    async def admits(self, _scope: Scope) -> bool:
        return True


def carried(app: Echo, tmp_path: Path, root_path: str = "") -> Carried:
    return Carried(Inside(app, Settings(data_dir=tmp_path, root_path=root_path)))


def test_a_request_is_that_of_whoever_asks(tmp_path: Path) -> None:
    app = Echo()

    async def main() -> httpx.Response:
        async with httpx.AsyncClient(transport=carried(app, tmp_path, root_path="/below"), base_url=URL) as client:
            with asked_by("req_1", "Bearer hs_mine"):
                return await client.post("/v1/tasks/ü/predict", params={"top_k": 2}, content=b"image", headers={NAME: "7"})

    answer = asyncio.run(main())
    assert (answer.status_code, answer.headers["x-of"], answer.content) == (201, "ours", b"image")
    (scope,) = app.asked
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/below/v1/tasks/ü/predict", b"top_k=2")
    names = [name for name, _ in scope["headers"]]
    assert len(names) == len(set(names)), "a second one might be believed"
    headers = dict(scope["headers"])
    assert (headers[b"host"], headers[b"content-length"]) == (b"localhost", b"5")
    assert (headers[b"x-request-id"], headers[b"authorization"]) == (b"req_1", b"Bearer hs_mine")
    assert NAME.lower().encode() not in headers, "it may be of another caller"


def test_outside_of_a_call_nobody_asks(tmp_path: Path) -> None:
    """A key that outlived its call would be the next caller's."""
    app = Echo()

    async def main() -> None:
        async with httpx.AsyncClient(transport=carried(app, tmp_path), base_url=URL) as client:
            with pytest.raises(RuntimeError, match="mine"), asked_by("req_1", "Bearer hs_mine"):
                raise RuntimeError("mine")
            with pytest.raises(LookupError):
                await client.get("/v1/tasks")
            with asked_by("req_2", None):
                await client.get("/v1/tasks")

    asyncio.run(main())
    (scope,) = app.asked
    assert b"authorization" not in dict(scope["headers"])
