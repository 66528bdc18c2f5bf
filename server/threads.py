"""Work on pools of threads, awaited on the event loop."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

from server.context import tenant_id
from server.errors import Overloaded
from server.fair_queue import FairQueue

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


@dataclass(slots=True, eq=False)
class _Work:
    tenant: str
    call: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


class FairPool:
    """A pool of threads that does the work of tenants in turn (`server.fair_queue`), each piece at a cost of one.

    Args:
        threads: how many pieces of work run at once.
        beside: whether one piece more may run, of a tenant of which none runs: nobody waits then for the long pieces of others.
    """

    def __init__(self, threads: int, name: str, *, beside: bool = False) -> None:
        self._threads = threads
        self._beside = beside
        self._pool = ThreadPoolExecutor(threads + beside, thread_name_prefix=name)
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

    def _start(self) -> None:
        while (work := self._waiting.head()) and self._has_thread_for(work.tenant):
            self._running[work.tenant] += 1
            self._pool.submit(self._do, self._waiting.pop())

    def _has_thread_for(self, tenant: str) -> bool:
        running = self._running.total()
        return running < self._threads or (self._beside and running == self._threads and not self._running[tenant])

    def _do(self, work: _Work) -> None:
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
            self._start()
            self._changed.notify_all()
