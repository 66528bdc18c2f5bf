"""Failures of the database and of its disk, be it SQLite's or PostgreSQL's."""

import errno
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server.errors import InvalidRequest, StorageFailed

FAILED = "the server's storage failed; nothing was changed; try again later"
FULL = "the disk of the server is full; nothing was changed; reading, predicting and removing go on"
UNKNOWN = "the server's storage failed while it was writing: the change may have been stored: retry with the same key"
UNREAD = "the server's storage failed; try again later"
STOPPING = "the server is stopping"

_DISK_FULL = "53100"  # PostgreSQL's code

_log = logging.getLogger(__name__)


@contextmanager
def storage_failures(detail: str) -> Iterator[None]:
    """Turns failures of the disk or the database into StorageFailed, and values that no database takes into InvalidRequest.

    Errors of our own code pass unchanged.
    """
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise
    except DataError as error:
        raise InvalidRequest("the request has a character that cannot be stored, such as NUL, or too large a number") from error
    except (DBAPIError, PoolTimeout, sqlite3.Error, OSError) as error:
        _log.exception("the database failed")
        if is_full(error):
            raise StorageFailed(FULL, disk_full=True) from error
        raise StorageFailed(detail) from error


def is_full(error: BaseException) -> bool:
    """Returns whether the disk had no room."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    original = error.orig if isinstance(error, DBAPIError) else error
    return sqlite_code(error) == sqlite3.SQLITE_FULL or getattr(original, "sqlstate", None) == _DISK_FULL


def sqlite_code(error: BaseException) -> int | None:
    """Returns SQLite's primary result code if the error comes from SQLite, else None."""
    code = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
