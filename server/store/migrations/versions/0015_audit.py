"""A table that tells who did what. Rows are added, never changed, and none leaves in its first 30 days."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant", sa.String, nullable=True),
        sa.Column("key", sa.String, nullable=True),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("object", sa.String, nullable=True),
        sa.Column("request", sa.String, nullable=True),
        sa.Column("result", sa.String, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_time", "audit", ["time"])
    if op.get_bind().dialect.name == "postgresql":
        _guard("audit_never_changes", "UPDATE", "", "rows of the audit never change")
        _guard(
            "audit_keeps_30_days", "DELETE", "WHEN (OLD.time > now() - interval '30 days')", "rows of the audit stay for 30 days"
        )
        return
    op.execute(
        "CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit "
        "BEGIN SELECT RAISE(ABORT, 'rows of the audit never change'); END"
    )
    op.execute(
        "CREATE TRIGGER audit_keeps_30_days BEFORE DELETE ON audit WHEN OLD.time > datetime('now', '-30 days') "
        "BEGIN SELECT RAISE(ABORT, 'rows of the audit stay for 30 days'); END"
    )


def _guard(name: str, event: str, condition: str, message: str) -> None:
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{message}'; END $$")
    op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON audit FOR EACH ROW {condition} EXECUTE FUNCTION {name}()")
