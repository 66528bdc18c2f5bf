"""The rates that servers use up which share a database, so that a quota holds for all of them together."""

import time
from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from server.store.postgres_database import PostgresDatabase
from server.store.tables import spent

_REST_SECONDS = 300.0  # A total that has not grown for so long ends, before its row leaves. The next one begins at 0.


class SharedRates:
    """Exchanges with other servers what was used of rates. One thread calls it.

    A quota of q units in w seconds is used by a request of n units for n · w / q seconds. Those seconds are told, as a total.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._ours: dict[str, tuple[float, float]] = {}  # by slot, the total and when it grew last
        self._theirs: dict[tuple[str, str], float] | None = None

    def exchange(self, used: Mapping[str, float]) -> dict[str, float]:
        """Tells the others what was used here since the last call, and returns what was used at theirs, by the rate's slot.

        Args:
            used: seconds by slot, more than 0 each.

        Raises:
            StorageFailed: the database cannot be reached; nothing was told, and the next call may bring the same again.
        """
        now = time.monotonic()
        ours = {slot: total for slot, total in self._ours.items() if now - total[1] < _REST_SECONDS}
        grown = {slot: ours.get(slot, (0.0, 0.0))[0] + seconds for slot, seconds in used.items()}
        with self._database.write() as connection:
            if grown:
                told = insert(spent).values(server=self._database.name, time=func.now())
                told = told.on_conflict_do_update(
                    constraint=spent.primary_key, set_={"seconds": told.excluded.seconds, "time": told.excluded.time}
                )
                connection.execute(told, [{"slot": slot, "seconds": seconds} for slot, seconds in sorted(grown.items())])
            query = select(spent.c.server, spent.c.slot, spent.c.seconds).where(spent.c.server != self._database.name)
            theirs = {(row.server, row.slot): row.seconds for row in connection.execute(query)}
        self._ours = ours | {slot: (seconds, now) for slot, seconds in grown.items()}
        before, self._theirs = self._theirs, theirs
        found: dict[str, float] = {}
        if before is not None:  # What they used before this server began is no longer asked for.
            for (server, slot), seconds in theirs.items():
                earlier = before.get((server, slot), 0.0)
                found[slot] = found.get(slot, 0.0) + (seconds - earlier if seconds >= earlier else seconds)
        return {slot: seconds for slot, seconds in found.items() if seconds}
