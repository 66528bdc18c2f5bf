"""Forgetting: values that leave the file with their rows, images that need not be kept, numbers that are never reused.

Rows that were stored before are rewritten into new tables. SQLite may have left copies of them in the pages of the old tables;
these go with the old tables.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_IN_TREE, _OVERFLOW = 489, 4092  # those of `server.store.tables.ErasableBlob` at the time of this migration
_ROWS = 100


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    if on_sqlite:
        _make_erasable("examples", "embedding", "image")
        _make_erasable("versions", "head")
    with op.batch_alter_table("examples", recreate="always" if on_sqlite else "never") as batch:
        batch.alter_column("sha256", existing_type=sa.String, nullable=True)
        batch.alter_column("image", existing_type=sa.LargeBinary, nullable=True)
    if on_sqlite:
        with op.batch_alter_table("versions", recreate="always"):
            pass

    # Added in place: by the foreign keys, dropping the old table would delete everything that belongs to a task.
    op.add_column("tasks", sa.Column("last_version", sa.Integer, nullable=False, server_default="0"))
    last = "SELECT max(number) FROM versions WHERE versions.tenant = tasks.tenant AND versions.task = tasks.id"
    op.execute(f"UPDATE tasks SET last_version = ({last})")  # noqa: S608

    with op.batch_alter_table("replays", recreate="always" if on_sqlite else "never") as batch:
        batch.add_column(
            sa.Column("task", sa.String, nullable=False, server_default=""), insert_after="key" if on_sqlite else None
        )
    op.execute("UPDATE replays SET task = substr(location, length('/v1/tasks/') + 1) WHERE location IS NOT NULL")
    with op.batch_alter_table("replays") as batch:
        batch.alter_column("task", existing_type=sa.String, server_default=None)
        batch.create_index("ix_replays_task", ["tenant", "task"])


def _make_erasable(table: str, *columns: str) -> None:
    connection = op.get_bind()
    names, values = ", ".join(columns), ", ".join(f"{column} = ?" for column in columns)
    page = f"SELECT rowid, {names} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_ROWS}"  # noqa: S608
    last = 0
    while rows := connection.exec_driver_sql(page, (last,)).all():
        connection.exec_driver_sql(
            f"UPDATE {table} SET {values} WHERE rowid = ?",  # noqa: S608
            [(*map(_padded, row[1:]), row[0]) for row in rows],
        )
        last = rows[-1][0]


def _padded(value: bytes) -> bytes:
    return str(len(value)).encode().ljust(_IN_TREE, b"\0") + value + bytes(-(_IN_TREE + len(value)) % _OVERFLOW)
