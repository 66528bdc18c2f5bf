"""Tasks and refreshes are numbered in the order of their creation. A clock that is set back does not change this order.

Older tasks and refreshes get the numbers of their rows, which SQLite gives in that order.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for table in ("tasks", "refreshes"):
        op.add_column(table, sa.Column("ordinal", sa.Integer, nullable=False, server_default="0"))
        if op.get_bind().dialect.name == "sqlite":  # No release has written such rows to another database.
            op.execute(f"UPDATE {table} SET ordinal = rowid")  # noqa: S608
        op.create_index(f"ix_{table}_ordinal", table, ["tenant", "ordinal", "id"])
