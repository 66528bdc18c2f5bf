"""Room that tenants share."""


def room_of(mine: int, total: int, tenants: int, capacity: int) -> int:
    """Returns the most that a tenant may take now, as `Shares.room` does.

    Args:
        mine: what the tenant has.
        total: what all have.
        tenants: the number of those that have something.
    """
    left = capacity - total
    if mine == total:  # alone
        return left
    share = capacity // tenants - mine if mine else capacity
    return max(left, min(share, left + capacity))


class Shares:
    """Room that a tenant may have all of while it is alone, and its fair share of in any case.

    What was let in stays. So a tenant that finds all room taken gets its share beyond it, and the others are refused until they
    are back within it. All tenants together never have more than twice the room. With one tenant it is a plain bound.

    Not thread-safe.

    Args:
        capacity: of the room, in any unit.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._taken: dict[str, int] = {}
        self.total = 0

    def room(self, tenant: str) -> int:
        """Returns the most that a tenant may take now; negative if it has more than it may.

        A tenant that has nothing may take as much as if it were alone, so that one large request is not refused for as long as
        others flood.
        """
        return room_of(self._taken.get(tenant, 0), self.total, len(self._taken), self.capacity)

    def take(self, tenant: str, amount: int) -> None:
        """Takes some of the room, whether or not it is there."""
        if amount:
            self._taken[tenant] = self._taken.get(tenant, 0) + amount
            self.total += amount

    def give_back(self, tenant: str, amount: int) -> None:
        """Gives back what was taken."""
        if amount:
            self.total -= amount
            self._taken[tenant] -= amount
            if not self._taken[tenant]:
                del self._taken[tenant]
