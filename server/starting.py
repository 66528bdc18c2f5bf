"""Handles signals before the server runs. The first process of a container does not have the usual handling of SIGTERM."""

import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def leave_when_told() -> None:
    """Makes SIGTERM and Ctrl-C end this process at once with status 0.

    At this time no answer has been given that could be lost, and every write to the disk may safely be interrupted.
    """
    for number in SIGNALS:
        signal.signal(number, lambda _number, _frame: os._exit(0))
