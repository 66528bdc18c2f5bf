"""Places for images in memory of a fixed size."""


class Slots:
    """A row of slots, of which requests take neighbouring ones and give them back. Not thread-safe.

    Args:
        count: of the slots.
    """

    def __init__(self, count: int) -> None:
        self._taken = bytearray(count)

    @property
    def free(self) -> int:
        """The number of slots that nobody has."""
        return self._taken.count(0)

    def take(self, count: int) -> int | None:
        """Takes so many neighbouring slots. Returns the first; None if no so many are free side by side."""
        first = self._taken.find(bytes(count))
        if first < 0:
            return None
        self._taken[first : first + count] = b"\1" * count
        return first

    def give_back(self, first: int, count: int) -> None:
        """Frees slots that were taken."""
        self._taken[first : first + count] = bytes(count)
