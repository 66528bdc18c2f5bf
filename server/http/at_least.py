"""Reads that see a client's own changes, whichever of several servers made them.

The answer to a change says how much a later reading must know at least: the id of the transaction that made it. A client sends it
with later requests, and a server that does not know as much reads of changes first.
"""

from collections.abc import Sequence

from server.errors import InvalidRequest

NAME = "Headstart-At-Least"
AT_LEAST = NAME.lower().encode()

_DIGITS = 19  # of the largest id


def at_least(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """Returns what a request's `Headstart-At-Least` says; None if it has none.

    Raises:
        InvalidRequest: it is none that a server gave.
    """
    for name, value in headers:
        if name == AT_LEAST:
            if not value.isdigit() or len(value) > _DIGITS:
                raise InvalidRequest(f"{NAME} is not a value that this server gave; send it as it came")
            return int(value)
    return None
