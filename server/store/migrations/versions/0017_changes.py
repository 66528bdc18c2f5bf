"""Tables for servers that share a database: what each changed, which rates it used, and what was chosen for all.

A task counts how often something of it was forgotten.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_TRANSACTION = "(pg_current_xact_id()::text::bigint)"


def upgrade() -> None:
    shared = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "changes",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("transaction", sa.BigInteger, server_default=sa.text(_TRANSACTION if shared else "0"), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("server", sa.String, nullable=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("removed", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_changes"),
    )
    op.create_index("ix_changes_transaction", "changes", ["transaction"])
    op.create_table(
        "spent",
        sa.Column("server", sa.String, nullable=False),
        sa.Column("slot", sa.String, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("server", "slot", name="pk_spent"),
    )
    op.create_table(
        "choices",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_choices"),
    )
    transaction = sa.Column("transaction", sa.BigInteger, server_default=sa.text(_TRANSACTION if shared else "0"), nullable=False)
    op.add_column("audit", transaction)
    op.create_index("ix_audit_transaction", "audit", ["transaction", "number"])
    op.add_column("tasks", sa.Column("forgettings", sa.Integer, nullable=False, server_default="0"))
