"""The start of a process: signals before it runs, since the first one of a container does not handle SIGTERM, and threads."""

import os
import signal
import sys

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_SWITCH_SECONDS = 0.0002


def leave_when_told() -> None:
    """Makes SIGTERM and Ctrl-C end this process at once with status 0.

    At this time no answer has been given that could be lost, and every write to the disk may safely be interrupted.
    """
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: os._exit(0))


def put_event_loop_first() -> None:
    """Shortens the time that the event loop waits for Python's lock while a thread computes.

    It waits so long each time that it needs the lock. Python's default is 25 times as long.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
