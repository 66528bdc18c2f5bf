"""Stopping a run between two steps, so that its checkpoint is whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Training stopped at the user's request; the checkpoint is up to date."""


@contextmanager
def stop_signals() -> Iterator["_Stop"]:
    """Inside the block, SIGINT and SIGTERM only set a flag. Calling the yielded object returns the flag."""
    stop = _Stop()
    before = {number: signal.signal(number, stop.request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    """Remembers that a signal asked to stop."""

    def __init__(self) -> None:
        self._requested = False

    def request(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True

    def __call__(self) -> bool:
        return self._requested
