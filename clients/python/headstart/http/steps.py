"""The steps of a call, told apart from how they are taken (sans I/O).

A call is a generator. It yields what it wants done, is resumed with the outcome or the error, and returns the reply. So one
definition serves a client that blocks and a client that awaits: `headstart.http.drivers` holds what does the steps.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

import httpx

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class Send:
    """Sends a request, once; the outcome is its `httpx.Response`.

    Attributes:
        stream: leaves the body of a successful response to `Save`.
    """

    request: httpx.Request
    stream: bool


@dataclass(frozen=True, slots=True)
class Save:
    """Writes the body of a streamed response to a file as it comes, and closes the response."""

    response: httpx.Response
    file: BinaryIO


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Reads files or computes; the outcome is what the function returns. An event loop has it done on a thread."""

    function: Callable[[], Any]


Step = Send | Save | Pause | Work

Steps = Generator[Step, Any, Reply]
"""The steps to a reply."""


def work(function: Callable[[], Reply]) -> Steps[Reply]:
    """Steps to what a function returns that would hold up an event loop."""
    result: Reply = yield Work(function)
    return result
