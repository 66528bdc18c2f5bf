"""The start of a process: signals before it serves, Python's lock and garbage collection.

The first process of a container does not have the usual handling of SIGTERM.
"""

import gc
import os
import signal
import sys

SIGNALS = (signal.SIGTERM, signal.SIGINT)

_SWITCH_SECONDS = 0.0002
_GARBAGE_THRESHOLDS = (100_000, 10, 50)


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


def collect_less() -> None:
    """Has garbage collection leave alone what the start made, and run seldom. Call it when all is open.

    A collection holds up every request while it looks at all objects. Those of the start take nearly a tenth of a second, and
    they stay anyway. Waiting requests of an overloaded server take more, and they leave no cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
