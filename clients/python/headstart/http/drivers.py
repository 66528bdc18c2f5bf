"""The two ways to do the steps of a call: on the caller's thread, and on an event loop."""

import time
from contextlib import closing
from typing import Any

import anyio
import httpx

from headstart.http.steps import Pause, Reply, Save, Send, Step, Steps, Work


class BlockingDriver:
    """Does steps while the caller's thread waits.

    Attributes:
        http: the connections, which threads may share.
    """

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def run(self, steps: Steps[Reply]) -> Reply:
        """Does the steps, and returns the reply."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = self._do(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as done:
            reply: Reply = done.value
            return reply

    def _do(self, step: Step) -> Any:
        match step:
            case Send(request, stream):
                response = self.http.send(request, stream=stream)
                if stream and not response.is_success:
                    response.read()
                return response
            case Save(response, file):
                with closing(response):
                    for piece in response.iter_bytes():
                        file.write(piece)
                return None
            case Pause(seconds):
                return time.sleep(seconds)
            case Work(function):
                return function()


class AsyncDriver:
    """Does steps on the event loop of whoever awaits them.

    A step that is cancelled ends the call there. Its connection is closed, and files of it that are not whole are removed.

    Attributes:
        http: the connections.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def run(self, steps: Steps[Reply]) -> Reply:
        """Does the steps, and returns the reply."""
        try:
            step = next(steps)
            while True:
                try:
                    outcome = await self._do(step)
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
        except StopIteration as done:
            reply: Reply = done.value
            return reply

    async def _do(self, step: Step) -> Any:
        match step:
            case Send(request, stream):
                response = await self.http.send(request, stream=stream)
                if stream and not response.is_success:
                    await response.aread()
                return response
            case Save(response, file):
                try:
                    async for piece in response.aiter_bytes():
                        await anyio.to_thread.run_sync(file.write, piece)
                finally:
                    await response.aclose()
                return None
            case Pause(seconds):
                return await anyio.sleep(seconds)
            case Work(function):
                return await anyio.to_thread.run_sync(function)
