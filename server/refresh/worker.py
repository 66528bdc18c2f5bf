"""Goes through the tasks of refreshes, beside everything else that the server does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import TypeVar

from server.engine.backbone import ServedBackbone
from server.errors import BackboneUnavailable, EngineFailed, HeadstartError, Overloaded, StorageFailed
from server.refresh.move_task import move_task, return_task
from server.refresh.part import Part, rest
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

    What is to be done, by whom, and what was done, is in the database alone: after a restart it goes on from there, and so do the
    workers of other servers that share the database.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._work = service.store.refresh_work
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._part: Part | None = None

    @property
    def under_way(self) -> UnderWay | None:
        """The progress made here in the refresh that is worked on."""
        return self._part.under_way if self._part else None

    def start(self) -> None:
        """Begins, or goes on with what a process before this one left."""
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stops within the current batch; the task at hand stays as it was, or is moved and noted."""
        if self._running:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    def on_change(self, id_: str) -> None:
        """To be called after the state of a refresh was changed: what is under way for another state is dropped at once."""
        if self._part and self._part.lease.job.id == id_:
            self._part.drop()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                if job := await self._service.pools.in_thread(self._work.job):
                    await self._go_on(job)
                elif self._work.shared:
                    await rest(self._wake)
                else:
                    await self._wake.wait()
            except Exception:  # Whatever it was, such as a full disk, it may be over soon, and nobody else may go on.
                _log.exception("refreshing is held up; it goes on in %g s", _HELD_UP_SECONDS)
                await asyncio.sleep(_HELD_UP_SECONDS)

    async def _go_on(self, job: RefreshJob) -> None:
        _log.info("refresh %s onto %s: %s", job.id, job.bundle, job.state.replace("_", " "))
        async with Part.taken(self._service, job) as part, AsyncExitStack() as stack:
            self._part = part
            try:
                if job.state == "rolling_back":
                    await part.each(lambda task: self._one(part, task, None))
                elif target := await self._open(part, stack):
                    await part.each(lambda task: self._one(part, task, target))
            finally:
                self._part = None

    async def _open(self, part: Part, stack: AsyncExitStack) -> ServedBackbone | None:
        """Opens the bundle that tasks are moved to. Returns None if it cannot be opened, or is not needed any more.

        If no other server can open it either, the refresh fails.
        """
        job = part.lease.job
        while True:
            try:
                return await _patiently(lambda: stack.enter_async_context(self._service.backbones.use_bundle(job.bundle)))
            except StorageFailed:
                raise
            except HeadstartError as error:
                if part.lacks:
                    _log.warning("refresh %s failed: %s", job.id, error.detail)
                    await self._service.pools.in_writer(self._work.fail, part.lease, Reason(error.code, error.detail))
                    return None
            await part.stand_back()
            if not part.lacks:
                return None

    async def _one(self, part: Part, task: RefreshTask, target: ServedBackbone | None) -> None:
        """Moves a task to the target, or returns it where there is none, and notes what prevented it."""
        service, lease, embed, lacks = self._service, part.lease, part.under_way.embed, part.lacks

        async def work() -> None:
            if target:
                await move_task(service, lease, task.task, target, embed, lacks=lacks)
            else:
                await return_task(service, lease, task, embed)

        failed: Outcome = "failed" if target else "not_returned"
        try:
            await _patiently(work)
            return
        except RefreshStopped:
            return
        except StorageFailed:
            raise
        except HeadstartError as error:
            if isinstance(error, BackboneUnavailable) and not lacks:
                await part.stand_back()
                return
            note = RefreshNote(lease.job.id, lease.id, failed, reason=Reason(error.code, error.detail))
        except Exception:
            _log.exception("refresh %s failed with %s", lease.job.id, task.task)
            detail = "something went wrong on the server; its log has the details under the ids of refresh and task"
            note = RefreshNote(lease.job.id, lease.id, failed, reason=Reason("internal_error", detail))
        with suppress(RefreshStopped):  # Of a deleted task it says already that it is gone.
            await service.pools.in_writer(self._work.note, TaskKey(lease.job.tenant, task.task), note)


async def _patiently(work: Callable[[], Awaitable[_Result]]) -> _Result:
    """Tries again what an overloaded server or a failed batch prevented."""
    for _ in range(_TRIES - 1):
        try:
            return await work()
        except (Overloaded, EngineFailed) as error:
            await asyncio.sleep(error.retry_after or 0)
    return await work()
