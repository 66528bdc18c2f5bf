"""The start of a replica."""

import os

from threadpoolctl import threadpool_limits

from models.engine import keep_freed_memory_together
from server.logs import configure_logging
from server.settings import Settings
from server.starting import put_event_loop_first


def prepare(settings: Settings, name: str) -> None:
    """Does in a replica what the server does at its start."""
    configure_logging(settings, name)
    os.umask(0o077)
    put_event_loop_first()
    keep_freed_memory_together()
    threadpool_limits(1, user_api="blas")
