"""Work on pools of threads, awaited on the event loop."""

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

from server.context import tenant_id
from server.errors import Overloaded
from server.fair_queue import FairQueue

_P = ParamSpec("_P")
_R = TypeVar("_R")


BULK_NICENESS = 5  # more than that of the event loop, of threads that fill the cores


def yield_to_others(niceness: int = BULK_NICENESS) -> None:
    """Lowers the priority of the calling thread, where the system has one for each thread.

    The event loop comes first: it needs little time, and without this it would answer and refuse late.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, os.getpid()) + niceness)


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


@dataclass(slots=True, eq=False)
class _Work:
    tenant: str
    call: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


class FairPool:
    """A pool of threads that does the work of tenants in turn (`server.fair_queue`), each piece at a cost of one.

    Args:
        threads: how many pieces of work run at once.
        beside: whether these threads have a lower priority, and one of the usual priority stands by for tenants of which nothing
            runs while others' work does. Nobody waits then for the long pieces of others.
    """

    def __init__(self, threads: int, name: str, *, beside: bool = False) -> None:
        self._free = threads
        self._pool = ThreadPoolExecutor(threads, name, yield_to_others if beside else None)
        self._beside = ThreadPoolExecutor(1, f"{name} beside") if beside else None
        self._stands_by = beside
        self._waiting = FairQueue[_Work](lambda work: work.future.cancelled())
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._closing = False

    async def run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Does the same as `run_in`, in its tenant's turn."""
        call = partial(copy_context().run, partial(function, *args, **kwargs))
        work = _Work(tenant_id.get(), call)
        with self._changed:
            if self._closing:
                raise Overloaded("the server is stopping")
            self._waiting.put(work.tenant, work, 1)
            self._start()
        result: _R = await asyncio.wrap_future(work.future)
        return result

    def close(self) -> None:
        """Finishes all work, then ends the threads."""
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: not self._running)
        self._pool.shutdown()
        if self._beside is not None:
            self._beside.shutdown()

    def _start(self) -> None:
        while work := self._waiting.head():
            if self._beside is not None and self._stands_by and self._running and not self._running[work.tenant]:
                self._stands_by = False
                self._begin(self._beside)
            elif self._free:
                self._free -= 1
                self._begin(self._pool)
            else:
                return

    def _begin(self, pool: ThreadPoolExecutor) -> None:
        work = self._waiting.pop()
        self._running[work.tenant] += 1
        pool.submit(self._do, work, pool)

    def _do(self, work: _Work, pool: ThreadPoolExecutor) -> None:
        if work.future.set_running_or_notify_cancel():
            try:
                result = work.call()
            except BaseException as error:
                work.future.set_exception(error)
            else:
                work.future.set_result(result)
        with self._changed:
            self._running[work.tenant] -= 1
            if not self._running[work.tenant]:
                del self._running[work.tenant]
            if pool is self._pool:
                self._free += 1
            else:
                self._stands_by = True
            self._start()
            self._changed.notify_all()
