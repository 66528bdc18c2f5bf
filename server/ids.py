"""Identifiers of what users create, and the cursors that mark a place among them. Both are opaque and URL-safe."""

import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode

from server.errors import InvalidRequest

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o or u to misread, and in ASCII order.
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)  # 26 characters of 5 bits, two at a time, for 128 bits
_RANDOM_BITS = 80

_MOST_DIGITS = 18  # of a number that a database's column holds
_NOT_OURS = "the cursor is not one that a page came with"


class _Clock:
    """128-bit numbers that only grow: milliseconds since 1970 in the upper 48 bits, chance in the lower 80."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        fresh = time.time_ns() // 1_000_000 << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        with self._lock:
            # Within one millisecond, and while the system's clock is behind, the step beyond the last number is itself
            # drawn by chance: counting up by one would let anyone who knows an id guess its neighbour.
            self._last = max(fresh, self._last + 1 + secrets.randbits(64))
            return self._last


_clock = _Clock()


def new_id(prefix: str) -> str:
    """`prefix_` and 26 characters of Crockford's base32 in lower case, such as `task_01k6x2…`.

    As text, an id sorts after every earlier one with its prefix: exactly within a process; between processes as far as the
    system's clock goes on, so that the store has numbers of its own for the order of what it lists.
    """
    number = _clock.tick()
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def copy_of(identifier: str) -> str:
    """An id for another example of the same image, which sorts beside it."""
    return f"{original(identifier)}-{secrets.token_hex(4)}"


def original(identifier: str) -> str:
    """The id of the first example of an image, with which the ids of all others of that image begin."""
    return identifier.partition("-")[0]


def cursor_after(identifier: str) -> str:
    """The cursor of the page that follows `identifier`."""
    return urlsafe_b64encode(identifier.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The inverse of `cursor_after`.

    Raises:
        InvalidRequest: it did not come from there.
    """
    try:
        identifier = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        identifier = ""
    if not identifier or cursor_after(identifier) != cursor:
        raise InvalidRequest(_NOT_OURS)
    return identifier


def cursor_after_number(number: int) -> str:
    """The cursor of the page that follows what has this number."""
    return cursor_after(str(number))


def read_number(cursor: str) -> int:
    """The inverse of `cursor_after_number`.

    Raises:
        InvalidRequest: it did not come from there.
    """
    number = read_cursor(cursor)
    if not (number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS):
        raise InvalidRequest(_NOT_OURS)
    return int(number)
