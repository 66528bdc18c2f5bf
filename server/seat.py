"""The place of a process among the processes of a server (`--workers`), as the process that starts it tells it.

One process, the owner, does every change; the workers answer predictions, and pass the other requests on to it. Where they share
engines, one more process, the device, runs these.
"""

import atexit
import json
import os
import shutil
import signal
import threading
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path

_VARIABLE = "_HEADSTART_SEAT"
OWNER, DEVICE = 0, -1
LEAVING = "leaving"
"""The file in the shared folder that is there while the server is about to stop."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A process's place.

    Attributes:
        number: 0 for the owner, from 1 on for the workers, and -1 for the device.
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
    def runs_engines(self) -> bool:
        """True for the process that runs the engines of all."""
        return self.number == DEVICE

    @property
    def name(self) -> str:
        return name_of(self.number)

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
    def engines(self) -> Path:
        """The socket at which the device takes images."""
        return Path(self.folder, "engines")

    @property
    def open_engines(self) -> Path:
        """The file that names the device's open engines."""
        return Path(self.folder, "open-engines")

    @property
    def rates(self) -> Path:
        """The file of what callers have used of their quotas a minute."""
        return Path(self.folder, "rates")

    @property
    def leaving(self) -> Path:
        """The file that is there while the server is about to stop."""
        return Path(self.folder, LEAVING)

    def say_ready(self) -> None:
        """Tells the process that started this one that it serves."""
        os.write(self.ready, b"1")
        os.close(self.ready)

    def environment(self) -> dict[str, str]:
        """Returns what `take_seat` reads in the environment of the process."""
        return {_VARIABLE: json.dumps(asdict(self))}


def name_of(number: int) -> str:
    """Returns what the process of a seat is called."""
    return {OWNER: "owner", DEVICE: "device"}.get(number, f"worker {number}")


def take_seat(environment: MutableMapping[str, str] = os.environ) -> Seat | None:
    """Returns this process's place, and removes it from the environment; None if it is the only process."""
    told = environment.pop(_VARIABLE, None)
    if told is None:
        return None
    fields = json.loads(told)
    return Seat(**{**fields, "cores": tuple(fields["cores"])})


def sit_down(seat: Seat) -> None:
    """Takes the cores of the seat, and sees to it that this process ends with the one that started it.

    If that was killed, what the processes shared is removed here.
    """
    if seat.cores:
        os.sched_setaffinity(0, seat.cores)

    def watch() -> None:
        while os.read(seat.parent, 1):
            pass
        atexit.register(shutil.rmtree, seat.folder, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
