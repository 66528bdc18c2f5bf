"""Signals before there is a server to stop: the first process of a container has none of the usual handling of SIGTERM."""

import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def leave_when_told() -> None:
    """From now on SIGTERM and Ctrl-C end this process at once with status 0: nothing has been answered that could be lost, and
    whatever is being written to the disk is made so that it may end anywhere.
    """
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: os._exit(0))
