"""Reads that see a client's own changes, whichever of several servers made them.

The answer to a change says how much a later reading must know at least: the id of the transaction that made it. A client sends it
with later requests, and a server that does not know as much reads of changes first.
"""

from collections.abc import Sequence

NAME = "Headstart-At-Least"
AT_LEAST = NAME.lower().encode()

_DIGITS = 19  # of the largest id


def at_least(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """Returns what a request's `Headstart-At-Least` says; None if it has none, or one of another form.

    A client may send what another server gave it, of another release too. That must not keep it from an answer.
    """
    for name, value in headers:
        if name == AT_LEAST and value.isdigit() and len(value) <= _DIGITS:
            return int(value)
    return None
