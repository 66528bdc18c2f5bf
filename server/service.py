"""What the journeys work with, opened together and closed together."""

import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import ParamSpec, TypeVar

from models.processor import available_cores
from server.cache.heads import ActiveHeads
from server.cache.support import ActiveSupport
from server.engine.decoder import Decoder
from server.engine.registry import Backbones
from server.errors import LimitExceeded, Overloaded
from server.locks import KeyLocks
from server.metrics import Metrics
from server.settings import Settings
from server.store.store import Store, sqlite_url
from server.threads import run_in

_P = ParamSpec("_P")
_R = TypeVar("_R")

_READERS = 8
_WAITING_FITS = 256
_WAITING_CHANGES = 256  # of one task
_NICENESS = 10  # of fits that nobody waits for; the engine's threads have 5


class Service:
    """The store, the backbones, the decoder and the heads in memory.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
        StoreError: the data directory cannot be used, or another server is using it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.store = Store.open(settings.database_url or sqlite_url(settings.data_dir))
        try:
            self.backbones = Backbones(settings, self.metrics, self.store)
        except BaseException:
            self.store.close()
            raise
        self.active = ActiveHeads(self.store, self.metrics)
        self.support = ActiveSupport(self.store)
        self.key_locks = KeyLocks()  # of idempotency keys: a retry that overtakes its first try waits for it
        # A change is fitted from the version before it: those of one task wait for each other instead of fitting in vain.
        self._task_locks = KeyLocks()
        self.decoder = Decoder(settings.image_limits)
        # Apart, so that neither a slow fit nor a slow disk holds up the reads that every prediction begins with.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._fitters = ThreadPoolExecutor(available_cores(), thread_name_prefix="fit")
        self._fits = 0
        self._background = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=_yield_to_others)
        # One, since what heads cost beside their products is Python's time, of which the event loop needs its share.
        self._applier = ThreadPoolExecutor(1, thread_name_prefix="apply")
        self._scores = 0

    async def in_thread(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs what blocks for a moment (reading the store, parsing a body) beside the event loop."""
        return await run_in(self._readers, function, *args, **kwargs)

    async def in_writer(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a change of the store, after those that came before it."""
        return await run_in(self._writer, function, *args, **kwargs)

    async def in_fitter(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a fit; as many run at once as there are cores.

        Raises:
            Overloaded: too many wait already.
        """
        if self._fits >= _WAITING_FITS:
            raise Overloaded(f"{self._fits} tasks are waiting to be fitted; try again")
        self._fits += 1
        try:
            return await run_in(self._fitters, function, *args, **kwargs)
        finally:
            self._fits -= 1

    async def in_background(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a fit that nobody waits for, after those before it and while the engine's threads leave a core."""
        return await run_in(self._background, function, *args, **kwargs)

    async def in_applier(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Applies heads for many tasks, after those who asked before; a large request does so a few tasks at a time."""
        return await run_in(self._applier, function, *args, **kwargs)

    @contextmanager
    def admit_scores(self, scores: int) -> Iterator[None]:
        """Reserves room for what a reply for many tasks will hold. Call on the event loop only.

        Raises:
            LimitExceeded: there will never be so much.
            Overloaded: there is too little now.
        """
        limit = self.settings.max_scores
        if scores > limit:
            raise LimitExceeded("scores in this reply, of all its tasks, images and labels", scores, limit)
        if self._scores + scores > limit:
            raise Overloaded(f"the server is working on {self._scores} scores of many tasks; it takes {limit} at most; try again")
        self._scores += scores
        try:
            yield
        finally:
            self._scores -= scores

    @asynccontextmanager
    async def changing(self, tenant: str, task: str) -> AsyncIterator[None]:
        """Waits for the changes of a task that came before; to be held from the reading of its support set until it is stored.

        Raises:
            Overloaded: too many wait already.
        """
        key = f"{tenant}/{task}"
        if (waiting := self._task_locks.users(key)) >= _WAITING_CHANGES:
            raise Overloaded(f"{waiting} changes of this task are waiting for each other; try again")
        async with self._task_locks.hold(key):
            yield

    def address(self, task: str) -> str:
        """The path at which clients find a task."""
        return f"{self.settings.root}/v1/tasks/{task}"

    def drop(self, tenant: str, task: str, versions: Sequence[int]) -> None:
        """To be told which versions have been removed: nothing of them stays in memory but what requests under way hold."""
        self.active.drop(tenant, task, versions)
        self.support.drop(tenant, task, versions)

    def close(self) -> None:
        """Finishes what is under way, then closes engines and store."""
        self.backbones.stop()
        self.decoder.close()
        for pool in (self._applier, self._background, self._fitters, self._writer, self._readers):
            pool.shutdown()
        self.store.close()


def _yield_to_others() -> None:
    if sys.platform == "linux":  # where threads have priorities of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
