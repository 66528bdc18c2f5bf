"""Identifiers of tasks, examples, refreshes and leases, and the cursors of pages. Both are opaque and URL-safe."""

import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from uuid import UUID

from server.errors import InvalidRequest

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: in ASCII order, and without i, l, o, u to misread
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)  # 26 characters of 5 bits, two at a time, for 128 bits
_RANDOM_BITS = 80

_MOST_DIGITS = 18  # digits that always fit a column of the database
_NOT_OURS = "the cursor is not one that an earlier page gave"


class _Clock:
    """128-bit numbers that only grow: milliseconds since 1970 in the upper 48 bits, random bits in the lower 80."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        fresh = time.time_ns() // 1_000_000 << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        with self._lock:
            if fresh <= self._last:
                # Within one millisecond, and while the system's clock is behind, the step from the last number is random too.
                # With a step of one, anyone who knows an id could guess the next one.
                fresh = self._last + 1 + secrets.randbits(64)
            self._last = fresh
            return fresh


_clock = _Clock()


def new_id(prefix: str) -> str:
    """Returns `prefix_` and 26 characters of Crockford's base32 in lower case, such as `task_01k6x2…`.

    As text, an id sorts after every earlier id with its prefix. This always holds within a process, but between processes only
    while the system's clock is not set back. So the store numbers what it lists by itself.
    """
    return _written(prefix, _clock.tick())


def uuid_of(identifier: str) -> UUID:
    """Returns the 128 bits of an id that `new_id` made, for clients that know ids in this form alone."""
    number = 0
    for character in identifier.rpartition("_")[2]:
        number = number << 5 | _ALPHABET.index(character)
    return UUID(int=number)


def id_of_uuid(prefix: str, uuid: UUID) -> str:
    """Returns the id with that prefix and those bits: the inverse of `uuid_of`."""
    return _written(prefix, uuid.int)


def _written(prefix: str, number: int) -> str:
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def copy_of(identifier: str) -> str:
    """Returns an id for another example of the same image. It sorts next to `identifier`."""
    return f"{original(identifier)}-{secrets.token_hex(4)}"


def original(identifier: str) -> str:
    """Returns the id of the first example of an image. The ids of all other examples of that image begin with it."""
    return identifier.partition("-")[0]


def cursor_after(identifier: str) -> str:
    """Returns the cursor of the page that follows `identifier`."""
    return urlsafe_b64encode(identifier.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """Returns the identifier of a cursor: the inverse of `cursor_after`.

    Raises:
        InvalidRequest: the cursor did not come from there.
    """
    try:
        identifier = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        identifier = ""
    if not identifier or cursor_after(identifier) != cursor:
        raise InvalidRequest(_NOT_OURS)
    return identifier


def cursor_after_number(number: int) -> str:
    """Returns the cursor of the page that follows the item with this number."""
    return cursor_after(str(number))


def read_number(cursor: str) -> int:
    """Returns the number of a cursor: the inverse of `cursor_after_number`.

    Raises:
        InvalidRequest: the cursor did not come from there.
    """
    number = read_cursor(cursor)
    if not (number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS):
        raise InvalidRequest(_NOT_OURS)
    return int(number)
