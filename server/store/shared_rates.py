"""The rates that servers use up which share a database, so that a quota holds for all of them together."""

from collections.abc import Mapping

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from server.store.postgres_database import PostgresDatabase
from server.store.tables import spent

_KEPT_SECONDS = 600.0


class SharedRates:
    """Exchanges with other servers what was used of rates. One thread calls it.

    A quota of q units in w seconds is used by a request of n units for n · w / q seconds. Those seconds are told.
    """

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._ours: dict[str, float] = {}
        self._theirs: dict[tuple[str, str], float] | None = None

    def exchange(self, used: Mapping[str, float]) -> dict[str, float]:
        """Tells the others what was used here since the last call, and returns what was used at theirs, by the rate's slot.

        Args:
            used: seconds by slot.

        Raises:
            StorageFailed: the database cannot be reached; nothing was told, and the next call may bring the same again.
        """
        ours = {slot: self._ours.get(slot, 0.0) + seconds for slot, seconds in used.items()}
        with self._database.write() as connection:
            if ours:
                told = insert(spent).values(server=self._database.name, time=func.now())
                told = told.on_conflict_do_update(
                    constraint=spent.primary_key, set_={"seconds": told.excluded.seconds, "time": told.excluded.time}
                )
                connection.execute(told, [{"slot": slot, "seconds": seconds} for slot, seconds in sorted(ours.items())])
            connection.execute(
                delete(spent).where(spent.c.time < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, _KEPT_SECONDS))
            )
            query = select(spent.c.server, spent.c.slot, spent.c.seconds).where(spent.c.server != self._database.name)
            now = {(row.server, row.slot): row.seconds for row in connection.execute(query)}
        self._ours |= ours
        before, self._theirs = self._theirs, now
        found: dict[str, float] = {}
        if before is not None:  # What they used before this server began is no longer asked for.
            for (server, slot), seconds in now.items():
                found[slot] = found.get(slot, 0.0) + seconds - before.get((server, slot), 0.0)
        return {slot: seconds for slot, seconds in found.items() if seconds}
