"""The time between the signal to stop and the stop, in which a load balancer learns to send its requests elsewhere."""

from pathlib import Path


class Leaving:
    """The news that this server is about to stop. All of its processes know it.

    Args:
        mark: a file that is there from then on, where the server has several processes; None if it has one.
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
        """True from then on."""
        return self._begun or (self._mark is not None and self._mark.exists())
