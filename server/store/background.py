"""Work with the store on threads that nobody waits for."""

import logging
from collections.abc import Callable

from server.errors import StorageFailed

_log = logging.getLogger(__name__)


def succeeds(work: Callable[[], None], failure: str) -> bool:
    """Does the work. Returns whether it succeeded: whatever fails, the thread goes on.

    Args:
        failure: what the log says of an error that is not the store's, which is in the log already.
    """
    try:
        work()
    except StorageFailed:
        return False
    except Exception:
        _log.exception(failure)
        return False
    return True
