"""The place of a process among the processes of a server (`--workers`), as the process that starts it tells it.

One process, the owner, does every change; the workers answer predictions, and pass the other requests on to it.
"""

import json
import os
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path

_VARIABLE = "_HEADSTART_SEAT"
OWNER = 0


@dataclass(frozen=True, slots=True)
class Seat:
    """A process's place.

    Attributes:
        number: 0 for the owner, and from 1 on for the workers.
        folder: of what the processes share, which only their user can read.
        listener: the descriptor of the socket that it takes connections from.
        ready: the descriptor of a pipe to which it writes a byte once it serves.
        parent: the descriptor of a pipe that ends when the process that started it does.
        cores: that it may use.
    """

    number: int
    folder: str
    listener: int
    ready: int
    parent: int
    cores: tuple[int, ...]

    @property
    def owns(self) -> bool:
        """True for the process that does the changes."""
        return self.number == OWNER

    @property
    def name(self) -> str:
        return "owner" if self.owns else f"worker {self.number}"

    @property
    def changes(self) -> Path:
        """The file of the counters of changes."""
        return Path(self.folder, "changes")

    @property
    def requests(self) -> Path:
        """The socket at which the owner takes requests."""
        return Path(self.folder, "requests")

    @property
    def messages(self) -> Path:
        """The socket at which the owner and the workers send each other messages."""
        return Path(self.folder, "messages")

    @property
    def rates(self) -> Path:
        """The file of what callers have used of their quotas a minute."""
        return Path(self.folder, "rates")

    def environment(self) -> dict[str, str]:
        """Returns what `take_seat` reads in the environment of the process."""
        return {_VARIABLE: json.dumps(asdict(self))}


def take_seat(environment: MutableMapping[str, str] = os.environ) -> Seat | None:
    """Returns this process's place, and removes it from the environment; None if it is the only process."""
    told = environment.pop(_VARIABLE, None)
    if told is None:
        return None
    fields = json.loads(told)
    return Seat(**{**fields, "cores": tuple(fields["cores"])})
