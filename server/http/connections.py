"""The limit of open connections, and the state that they share."""

import logging
import resource
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from server.leaving import Leaving

_log = logging.getLogger(__name__)

_OTHER_FILES = 128  # descriptors that the database, the bundles and the rest may need
_MOST = 4096
_SECONDS_BETWEEN_WARNINGS = 60.0


class TooManyConnections(Exception):
    """More are asked for than the limit of open files allows."""


def connections_that_fit(wanted: int | None, doors: int = 1) -> int:
    """Returns the number that may be open: `wanted`, or as many as leave enough files for everything else.

    Args:
        doors: how many servers of the process may have as many each.

    Raises:
        TooManyConnections: they would not leave as many.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fitting = _MOST if files == resource.RLIM_INFINITY else max(files - _OTHER_FILES, files // 2) // doors
    if wanted is None:
        return min(fitting, _MOST)
    if files != resource.RLIM_INFINITY and wanted > fitting:
        raise TooManyConnections(f"max-connections: {wanted} are too many for {files} open files; raise that limit (ulimit -n)")
    return wanted


@dataclass
class Connections:
    """The state that the connections of a server share.

    Attributes:
        most: how many may be open.
        head_seconds: how long a new connection may wait for its first byte, and then the head of each request may take.
        body_seconds: how long the body of a request that is answered may still come, and an answer may lie unread.
        body_rate: least bytes per second of an answer that are read, over each `body_seconds`.
        linger_seconds: how long idle ones stay open when the process stops, where another one takes new connections. A request
            that is on its way then gets its answer.
        leaving: while the server is about to stop, each answer is the last of its connection.
        silent: those that have not sent anything yet, the longest first, and how each is closed.
        idle: likewise those that were answered and wait for their next request.
    """

    most: int
    head_seconds: float
    body_seconds: float
    body_rate: int
    linger_seconds: float = 0.0
    leaving: Leaving = field(default_factory=Leaving)
    silent: dict[Hashable, Callable[[], None]] = field(default_factory=dict)
    idle: dict[Hashable, Callable[[], None]] = field(default_factory=dict)
    _warned: float = float("-inf")

    def make_room(self, there_are: int) -> bool:
        """Returns whether there is room for one more; a connection that has nothing under way is closed for it."""
        if there_are <= self.most:
            return True
        if (now := time.monotonic()) - self._warned > _SECONDS_BETWEEN_WARNINGS:
            self._warned = now
            _log.warning(
                "%d connections are open, as many as may be (--max-connections): idle ones are closed for new ones", self.most
            )
        # Silent ones first: they cost nothing to open, and so many of them must not close those of clients that are at work.
        waiting = self.silent or self.idle
        if not waiting:
            return False
        next(iter(waiting.values()))()
        return True

    def is_busy(self, connection: Hashable) -> None:
        """To be told that a connection has something under way, or is no more."""
        self.silent.pop(connection, None)
        self.idle.pop(connection, None)
