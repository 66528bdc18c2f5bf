"""The time between the signal to stop and the stop, in which a load balancer learns to send its requests elsewhere."""

from pathlib import Path


class Leaving:
    """The news that this server is about to stop. All of its processes know it.

    Args:
        mark: a file that `begin` makes, for the other processes of the server; None if there are none.
    """

    def __init__(self, mark: Path | None = None) -> None:
        self._mark = mark
        self._begun = False

    def begin(self) -> None:
        """Says from now on that the server is about to stop."""
        self._begun = True
        if self._mark is not None:
            self._mark.touch()

    @property
    def begun(self) -> bool:
        """True once `begin` was called, in whichever process."""
        return self._begun or (self._mark is not None and self._mark.exists())
