"""Goes through the tasks of refreshes, beside everything else that the server does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, TypeVar

from server.errors import EngineFailed, HeadstartError, Overloaded, StorageFailed
from server.refresh.move_task import move_task, return_task
from server.refresh.progress import UnderWay
from server.service import Service
from server.store.records import TaskKey
from server.store.refresh_records import Outcome, Reason, RefreshJob, RefreshNote, RefreshStopped, RefreshTask

_log = logging.getLogger(__name__)

_TRIES = 5  # of what an overloaded server or a failed batch prevented
_HELD_UP_SECONDS = 5.0

_Result = TypeVar("_Result")


class RefreshWorker:
    """Works on one refresh at a time, the oldest first, and in it on one task. To be used on the event loop.

    What is to be done, and what was done, is in the database alone: after a restart it goes on from there.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._wake = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._step: asyncio.Task[None] | None = None
        self.under_way: UnderWay | None = None

    def start(self) -> None:
        """Begins, or goes on with what a process before this one left."""
        self._work = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stops within the current batch; the task at hand stays as it was, or is moved and noted."""
        if self._work:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work

    def on_change(self, id_: str) -> None:
        """To be called after the state of a refresh was changed: what is under way for another state is dropped at once."""
        if self._step and self.under_way and self.under_way.job.id == id_:
            self._step.cancel()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                if job := await self._service.pools.in_thread(self._service.store.refreshes.job):
                    await self._go_on(job)
                else:
                    await self._wake.wait()
            except Exception:  # Whatever it was, such as a full disk, it may be over soon, and nobody else would go on.
                _log.exception("refreshing is held up; it goes on in %g s", _HELD_UP_SECONDS)
                await asyncio.sleep(_HELD_UP_SECONDS)

    async def _go_on(self, job: RefreshJob) -> None:
        store = self._service.store.refreshes
        _log.info("refresh %s onto %s: %s", job.id, job.bundle, job.state.replace("_", " "))
        if job.state == "rolling_back":
            await self._each(job, lambda task, progress: return_task(self._service, job, task, progress))
        else:
            async with AsyncExitStack() as stack:
                bundle = self._service.backbones.use_bundle
                try:
                    target = await _patiently(lambda: stack.enter_async_context(bundle(job.bundle)))
                except StorageFailed:
                    raise
                except HeadstartError as error:
                    _log.warning("refresh %s failed: %s", job.id, error.detail)
                    await self._service.pools.in_writer(store.fail, job, Reason(error.code, error.detail))
                    return
                await self._each(job, lambda task, progress: move_task(self._service, job, task.task, target, progress))
        await self._service.pools.in_writer(store.end, job)

    async def _each(
        self, job: RefreshJob, work: Callable[[RefreshTask, Callable[[int], None]], Coroutine[Any, Any, None]]
    ) -> None:
        """Does the work for each task, until none is pending or the refresh is to be in another state."""
        self.under_way = under_way = UnderWay(job)
        try:
            while task := await self._service.pools.in_thread(self._service.store.refreshes.next_task, job):
                under_way.begin(task)
                await self._until_stopped(self._one(job, task.task, partial(work, task, under_way.embed)))
                under_way.finish()
        finally:
            self.under_way = None

    async def _one(self, job: RefreshJob, task: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does the work for a task, and notes what prevented it."""
        failed: Outcome = "not_returned" if job.state == "rolling_back" else "failed"
        try:
            await _patiently(work)
            return
        except RefreshStopped:
            return
        except StorageFailed:
            raise
        except HeadstartError as error:
            note = RefreshNote(job.id, failed, reason=Reason(error.code, error.detail))
        except Exception:
            _log.exception("refresh %s failed with %s", job.id, task)
            detail = "something went wrong on the server; its log has the details under the ids of refresh and task"
            note = RefreshNote(job.id, failed, reason=Reason("internal_error", detail))
        with suppress(RefreshStopped):  # Of a deleted task it says already that it is gone.
            await self._service.pools.in_writer(self._service.store.refreshes.note, TaskKey(job.tenant, task), note)

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Awaits the work unless `on_change` drops it, which is no error, or the server stops, which drops it too."""
        self._step = step = asyncio.create_task(work)
        try:
            await asyncio.wait({step})
        finally:
            self._step = None
            step.cancel()
            await asyncio.wait({step})
        if not step.cancelled():
            step.result()


async def _patiently(work: Callable[[], Awaitable[_Result]]) -> _Result:
    """Tries again what an overloaded server or a failed batch prevented."""
    for _ in range(_TRIES - 1):
        try:
            return await work()
        except (Overloaded, EngineFailed) as error:
            await asyncio.sleep(error.retry_after or 0)
    return await work()
