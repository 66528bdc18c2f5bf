"""Pools of threads for work that would hold up the event loop, and the budget of scores in replies for many tasks."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from models.processor import available_cores
from server.errors import LimitExceeded, Overloaded
from server.threads import run_in

_P = ParamSpec("_P")
_R = TypeVar("_R")

_READERS = 8
_WAITING_FITS = 256
_NICENESS = 10  # of the thread for fits that nobody waits for; the engine's threads have 5


class Pools:
    """A pool of threads for each kind of work. Use it on the event loop.

    Raises:
        Overloaded: from every method but `close`, once `close` was called.
    """

    def __init__(self) -> None:
        # Separate pools, so that neither a slow fit nor a slow write holds up the reads that every prediction begins with.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._fitters = ThreadPoolExecutor(available_cores(), thread_name_prefix="fit")
        self._fits = 0
        self._background = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=_yield_to_others)
        # One thread, since applying heads takes Python's lock outside of the matrix products, and the event loop needs it too.
        self._applier = ThreadPoolExecutor(1, thread_name_prefix="apply")

    async def in_thread(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a function that blocks for a moment, such as reading the store or parsing a body, beside the event loop."""
        return await run_in(self._readers, function, *args, **kwargs)

    async def in_writer(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a change of the store, after those that came before it."""
        return await run_in(self._writer, function, *args, **kwargs)

    async def in_fitter(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a fit. As many run at once as there are cores.

        Raises:
            Overloaded: too many fits wait already.
        """
        if self._fits >= _WAITING_FITS:
            raise Overloaded(f"{self._fits} tasks are waiting to be fitted; try again")
        self._fits += 1
        try:
            return await run_in(self._fitters, function, *args, **kwargs)
        finally:
            self._fits -= 1

    async def in_background(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Runs a fit that nobody waits for: after those before it, and while the engine's threads leave a core idle."""
        return await run_in(self._background, function, *args, **kwargs)

    async def in_applier(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Applies heads for many tasks, in the order of the calls. A large request makes a call for every few tasks."""
        return await run_in(self._applier, function, *args, **kwargs)

    def close(self) -> None:
        """Finishes the work under way and ends the threads."""
        for pool in (self._applier, self._background, self._fitters, self._writer, self._readers):
            pool.shutdown()


class ScoreBudget:
    """A limit on the scores that all replies for many tasks hold at once. Use it on the event loop.

    Args:
        limit: the most scores.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._admitted = 0

    @contextmanager
    def admit(self, scores: int) -> Iterator[None]:
        """Reserves room for the scores of a reply, for the length of the block.

        Raises:
            LimitExceeded: the reply alone exceeds the limit.
            Overloaded: there is too little room now.
        """
        limit = self._limit
        if scores > limit:
            raise LimitExceeded("scores in this reply, of all its tasks, images and labels", scores, limit)
        if self._admitted + scores > limit:
            working = f"the server is working on {self._admitted} scores of many tasks"
            raise Overloaded(f"{working}; it takes {limit} at most; try again")
        self._admitted += scores
        try:
            yield
        finally:
            self._admitted -= scores


def _yield_to_others() -> None:
    if sys.platform == "linux":  # where threads have priorities of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
