"""Stopping a run between two steps, so that its checkpoint is whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Training stopped at the user's request; the checkpoint is up to date."""


@contextmanager
def stop_signals() -> Iterator["_Stop"]:
    """Inside the block, SIGINT and SIGTERM only set a flag. Calling the yielded object returns the flag.

    Within another such block, a signal sets the flags of both.
    """
    stop = _Stop()
    before = {number: signal.signal(number, _request) for number in (signal.SIGINT, signal.SIGTERM)}
    _open.append(stop)
    try:
        yield stop
    finally:
        _open.remove(stop)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    """Remembers that a signal asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        return self.requested


_open: list[_Stop] = []


def _request(_number: int, _frame: FrameType | None) -> None:
    for stop in _open:
        stop.requested = True
