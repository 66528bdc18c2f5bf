"""Pools of threads for what would hold up the event loop, and the budget of what replies for many tasks may hold."""

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
_NICENESS = 10  # of fits that nobody waits for; the engine's threads have 5


class Pools:
    """A pool for each kind of work. To be used on the event loop.

    Raises:
        Overloaded: from every method but `close`, once that was called.
    """

    def __init__(self) -> None:
        # Apart, so that neither a slow fit nor a slow disk holds up the reads that every prediction begins with.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._fitters = ThreadPoolExecutor(available_cores(), thread_name_prefix="fit")
        self._fits = 0
        self._background = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=_yield_to_others)
        # One, since what heads cost beside their products is Python's time, of which the event loop needs its share.
        self._applier = ThreadPoolExecutor(1, thread_name_prefix="apply")

    async def in_thread(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run what blocks for a moment (reading the store, parsing a body) beside the event loop."""
        return await run_in(self._readers, function, *args, **kwargs)

    async def in_writer(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run a change of the store, after those that came before it."""
        return await run_in(self._writer, function, *args, **kwargs)

    async def in_fitter(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Run a fit; as many run at once as there are cores.

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
        """Run a fit that nobody waits for, after those before it and while the engine's threads leave a core."""
        return await run_in(self._background, function, *args, **kwargs)

    async def in_applier(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Apply heads for many tasks, after those who asked before; a large request does so a few tasks at a time."""
        return await run_in(self._applier, function, *args, **kwargs)

    def close(self) -> None:
        """Finish what is under way."""
        for pool in (self._applier, self._background, self._fitters, self._writer, self._readers):
            pool.shutdown()


class ScoreBudget:
    """How many scores the replies for many tasks may hold together. To be used on the event loop.

    Args:
        limit: that number.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._admitted = 0

    @contextmanager
    def admit(self, scores: int) -> Iterator[None]:
        """Reserve room for what a reply for many tasks will hold.

        Raises:
            LimitExceeded: there will never be so much.
            Overloaded: there is too little now.
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
