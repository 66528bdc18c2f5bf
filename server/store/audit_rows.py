"""The statement that adds rows to the audit, within a transaction."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, insert

from server.audit import AuditRow, acting
from server.store.tables import audit


def add_rows(connection: Connection, rows: Sequence[AuditRow]) -> None:
    """Adds rows, numbered in their order."""
    connection.execute(insert(audit), [asdict(row) for row in rows])


def record_act(connection: Connection) -> bool:
    """Adds the rows of the change that is under way, unless it has some. Returns whether it did."""
    act = acting.get()
    if act is None or act.kind != "change" or act.recorded:
        return False
    add_rows(connection, act.rows(act.outcome))
    return True


def note_recorded() -> None:
    """Notes that the rows of the change that is under way are on disk."""
    if act := acting.get():
        act.recorded = True
