"""Rows of the audit that wait to be stored. Repeats are counted, so that no flood of requests makes a row of each."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from server.audit import AuditRow

MOST = 10_000
"""The most rows that wait, and the most objects that are told apart within a minute or an hour."""

_Group = tuple[str | None, str | None, str, str | None, str]


class AuditCounts:
    """Rows that are told behind the answers. Thread-safe, and never blocks.

    Args:
        on_drop: called with the number of rows for which there is no room.
    """

    def __init__(self, on_drop: Callable[[int], None]) -> None:
        self._on_drop = on_drop
        self._waiting: list[AuditRow] = []
        self._minute: dict[_Group, int] = {}
        self._hour: dict[_Group, int] = {}
        self._lock = threading.Lock()

    def tell(self, row: AuditRow) -> None:
        """Takes a row. One like an earlier one of this minute is counted."""
        group = (row.tenant, row.key, row.action, row.object, row.result)
        with self._lock:
            if group in self._minute or len(self._minute) >= MOST:
                _count(self._minute, group)
            else:
                self._minute[group] = 0
                self._keep([row])

    def count(self, tenant: str | None, key: str | None, action: str, object_: str | None, result: str) -> None:
        """Counts a use, for the row of this hour."""
        with self._lock:
            _count(self._hour, (tenant, key, action, object_, result))

    def end_minute(self) -> None:
        """Makes rows of what was counted since the last call."""
        with self._lock:
            ended, self._minute = self._minute, {}
            self._keep(_rows(ended))

    def end_hour(self) -> None:
        """Makes rows of the uses since the last call."""
        with self._lock:
            ended, self._hour = self._hour, {}
            self._keep(_rows(ended))

    def take(self) -> list[AuditRow]:
        """Returns the rows that wait, and keeps none."""
        with self._lock:
            taken, self._waiting = self._waiting, []
            return taken

    def put_back(self, rows: list[AuditRow]) -> None:
        """Keeps rows that could not be stored, before those that came since."""
        with self._lock:
            rows, self._waiting = [*rows, *self._waiting], []
            self._keep(rows)

    def _keep(self, rows: list[AuditRow]) -> None:
        room = MOST - len(self._waiting)
        self._waiting += rows[:room]
        if lost := len(rows[room:]):
            self._on_drop(lost)


def _count(counts: dict[_Group, int], group: _Group) -> None:
    if group not in counts and len(counts) >= MOST:
        group = (*group[:3], None, group[4])  # By then there are as few of these as keys, actions and results.
    counts[group] = counts.get(group, 0) + 1


def _rows(counts: dict[_Group, int]) -> list[AuditRow]:
    now = datetime.now(UTC)
    return [AuditRow(now, *group[:4], None, group[4], count) for group, count in counts.items() if count]
