"""This server's part in a refresh: a lease that is renewed while it works, and the tasks that it has claimed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from server.errors import Overloaded, StorageFailed
from server.refresh.progress import UnderWay
from server.service import Service
from server.store.refresh_records import RefreshJob, RefreshLease, RefreshTask

BEAT_SECONDS = 0.5  # between two renewals, which tell of what was changed at other servers too
_WAIT_SECONDS = 30.0  # for a server that has the bundles which this one lacks


class Part:
    """To be used on the event loop.

    Attributes:
        under_way: the progress made here.
        lacks: whether nobody else can go on, though this server lacks a bundle. Then it does what can be done without.
    """

    def __init__(self, service: Service, lease: RefreshLease) -> None:
        self.lease = lease
        self.under_way = UnderWay(lease)
        self.lacks = False
        self._pools, self._work = service.pools, service.store.refresh_work
        self._claimed: Sequence[RefreshTask] = ()
        self._dropped = False
        self._another_at = time.monotonic()  # when another server was last known to be able to go on
        self._step: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def taken(cls, service: Service, job: RefreshJob) -> "AsyncIterator[Part]":
        """Takes part in a refresh for the length of the block."""
        pools, work = service.pools, service.store.refresh_work
        part = cls(service, await pools.in_thread(work.begin, job))
        renewing = asyncio.create_task(part._renew())
        try:
            yield part
        finally:
            renewing.cancel()
            with suppress(StorageFailed, Overloaded):  # The lease ends by itself, somewhat later.
                await pools.in_thread(work.leave, part.lease)

    def drop(self) -> None:
        """Drops what is claimed and under way: the refresh may be in another state, or others may have claimed it."""
        self._dropped = True
        self._wake.set()
        if self._step:
            self._step.cancel()

    async def each(self, work: Callable[[RefreshTask], Coroutine[Any, Any, None]]) -> None:
        """Does the work for one claimed task after another, until the refresh has ended or is not the one to work on."""
        while (claimed := await self._claim()) is not None:
            if not claimed and await self._pools.in_writer(self._work.end, self.lease.job):
                return
            if not claimed:
                await rest(self._wake)  # Others work on the last tasks, and may not live to finish them.
            for task in claimed:
                if self._dropped:
                    break
                self.under_way.begin(task)
                await self._until_dropped(work(task))
                self.under_way.finish()

    async def stand_back(self) -> None:
        """Leaves the refresh to servers that have a bundle which this one lacks, as long as there are such.

        If there are none for half a minute, or if no other server can share the database, `lacks` is set.
        """
        self.under_way.able, self._another_at = False, time.monotonic()
        if self._claimed:
            await self._pools.in_writer(self._work.give_back, self.lease, self._claimed)
        while self._work.shared and not self._dropped and time.monotonic() < self._another_at + _WAIT_SECONDS:
            await rest(self._wake)
        self.lacks = not self._dropped
        self._dropped = True  # What was claimed is given back.

    async def _claim(self) -> Sequence[RefreshTask] | None:
        self._dropped = False
        self._wake.clear()
        claimed = await self._pools.in_writer(self._work.claim, self.lease)
        self._claimed = claimed or ()
        return claimed

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with suppress(StorageFailed, Overloaded):  # It may be over before the lease ends.
                another = await self._pools.in_thread(self._work.renew, self.lease, self.under_way.progress)
                if another is None:
                    self.drop()
                elif another:
                    self._another_at = time.monotonic()

    async def _until_dropped(self, work: Coroutine[Any, Any, None]) -> None:
        """Awaits the work unless `drop` drops it, which is no error, or the server stops, which drops it too."""
        self._step = step = asyncio.create_task(work)
        try:
            await asyncio.wait({step})
        finally:
            self._step = None
            step.cancel()
            await asyncio.wait({step})
        if not step.cancelled():
            step.result()


async def rest(wake: asyncio.Event) -> None:
    """Waits until the event is set, at most for as long as it takes to hear of other servers."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(wake.wait(), BEAT_SECONDS)
