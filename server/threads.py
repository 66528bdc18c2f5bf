"""Work on pools of threads, awaited on the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from server.errors import Overloaded

_P = ParamSpec("_P")
_R = TypeVar("_R")


async def run_in(pool: ThreadPoolExecutor, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Runs a function on a thread of the pool, in the context of the caller: its log lines have the id of the request.

    Raises:
        Overloaded: the pool takes no more work, since the server is stopping.
    """
    call = partial(copy_context().run, partial(function, *args, **kwargs))
    try:
        running = asyncio.get_running_loop().run_in_executor(pool, call)
    except RuntimeError as error:  # The pool has been shut down.
        raise Overloaded("the server is stopping") from error
    return await running
