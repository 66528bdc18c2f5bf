"""Pools of threads for work that would hold up the event loop, and the budget of scores in replies for many tasks."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from models.processor import available_cores
from server.context import tenant_id
from server.errors import LimitExceeded, Overloaded
from server.shares import Shares
from server.threads import FairPool, run_in, yield_to_others

_P = ParamSpec("_P")
_R = TypeVar("_R")

_READERS = 8
_IMAGES = 8
_WAITING_FITS = 256
_NICENESS = 10  # more than the event loop's, of the thread for fits that nobody waits for; twice that of the engine's threads


class Pools:
    """A pool of threads for each kind of work, which tenants use in turn. Use it on the event loop.

    Args:
        writers: threads that change the store.

    Raises:
        Overloaded: from every method but `close`, once `close` was called.
    """

    def __init__(self, writers: int) -> None:
        # Separate pools, so that neither a slow fit nor a slow write holds up the reads that every prediction begins with.
        self._readers = FairPool(_READERS, "read")
        self._writer = FairPool(writers, "write")
        self._images = FairPool(_IMAGES, "images")
        self._fitters = FairPool(available_cores(), "fit", beside=True)
        self._fits = Shares(_WAITING_FITS)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=partial(yield_to_others, _NICENESS))
        # One thread, since applying heads takes Python's lock outside of the matrix products, and the event loop needs it too.
        self._applier = FairPool(1, "apply")

    async def in_thread(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a function that blocks for a moment, such as reading the store or parsing a body, beside the event loop."""
        return await self._readers.run(function, *args, **kwargs)

    async def in_writer(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a change of the store. The store has those of a tenant wait for each other."""
        return await self._writer.run(function, *args, **kwargs)

    async def in_images(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs what reads or writes stored images: they may lie in an object store, which may be slow or down."""
        return await self._images.run(function, *args, **kwargs)

    async def in_fitter(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a fit. As many run at once as there are cores.

        Raises:
            Overloaded: too many fits wait already.
        """
        tenant = tenant_id.get()
        if self._fits.room(tenant) < 1:
            raise Overloaded(f"{self._fits.total} tasks are waiting to be fitted; try again")
        self._fits.take(tenant, 1)
        try:
            return await self._fitters.run(function, *args, **kwargs)
        finally:
            self._fits.give_back(tenant, 1)

    async def in_background(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a fit that nobody waits for: after those before it, and while the engine's threads leave a core idle."""
        return await run_in(self._background, function, *args, **kwargs)

    async def in_applier(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Applies heads for many tasks, in the order of the calls. A large request makes a call for every few tasks."""
        return await self._applier.run(function, *args, **kwargs)

    def close(self) -> None:
        """Finishes the work under way and ends the threads."""
        self._applier.close()
        self._background.shutdown()
        for pool in (self._fitters, self._images, self._writer, self._readers):
            pool.close()


class ScoreBudget:
    """A limit on the scores that all replies for many tasks hold at once. Use it on the event loop.

    Args:
        limit: the most scores.
    """

    def __init__(self, limit: int) -> None:
        self._admitted = Shares(limit)

    @contextmanager
    def admit(self, scores: int) -> Iterator[None]:
        """Reserves room for the scores of a reply, for the length of the block.

        Raises:
            LimitExceeded: the reply alone exceeds the limit.
            Overloaded: there is too little room now.
        """
        limit, tenant = self._admitted.capacity, tenant_id.get()
        if scores > limit:
            raise LimitExceeded("scores in this reply, of all its tasks, images and labels", scores, limit)
        if scores > self._admitted.room(tenant):
            working = f"the server is working on {self._admitted.total} scores of many tasks"
            raise Overloaded(f"{working}; it takes {limit} at most; try again")
        self._admitted.take(tenant, scores)
        try:
            yield
        finally:
            self._admitted.give_back(tenant, scores)
