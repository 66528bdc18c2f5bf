"""A table of quotas, and one of what each tenant has stored. Triggers count it, whatever changes a row."""
# ruff: noqa: S608 - all parts of the statements are constants

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_STORED = ("tasks", "examples", "bytes", "captures")
_KEPT = "CASE WHEN {0}.sha256 IS NULL THEN 0 ELSE {0}.size END"
_COUNTED = {
    "tasks": "tasks = tasks {1} 1",
    "examples": f"examples = examples {{1}} 1, bytes = bytes {{1}} {_KEPT}",
    "captures": f"captures = captures {{1}} 1, bytes = bytes {{1}} {_KEPT}",
}


def upgrade() -> None:
    op.create_table(
        "quotas",
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=True) for name in ("requests", "images", *_STORED)),
        sa.Column("change", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name="pk_quotas"),
    )
    op.create_index("ix_quotas_change", "quotas", ["change"])
    op.create_table(
        "usage",
        sa.Column("tenant", sa.String, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _STORED),
        sa.PrimaryKeyConstraint("tenant", name="pk_usage"),
    )
    _count_what_is_there()
    new = "INSERT INTO usage VALUES (NEW.tenant, 0, 0, 0, 0) ON CONFLICT DO NOTHING"
    _create_trigger("usage_of_new_tenants", "BEFORE INSERT", "tasks", new, "NEW")
    for table, counted in _COUNTED.items():
        _count(table, "INSERT", "NEW", counted.format("NEW", "+"))
        _count(table, "DELETE", "OLD", counted.format("OLD", "-"))
    _count("examples", "UPDATE OF sha256", "NEW", f"bytes = bytes - {_KEPT.format('OLD')} + {_KEPT.format('NEW')}")


def _count(table: str, event: str, row: str, counted: str) -> None:
    name = f"usage_of_{table}_{event.partition(' ')[0].lower()}"
    _create_trigger(name, f"AFTER {event}", table, f"UPDATE usage SET {counted} WHERE tenant = {row}.tenant", row)


def _create_trigger(name: str, when: str, table: str, statement: str, row: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER {name} {when} ON {table} BEGIN {statement}; END")
    else:
        op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN {row}; END $$")
        any_column = when.partition(" OF ")[0]  # The type of a column that is named here could not change any more.
        op.execute(f"CREATE TRIGGER {name} {any_column} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def _count_what_is_there() -> None:
    op.execute("INSERT INTO usage SELECT tenant, COUNT(*), 0, 0, 0 FROM tasks GROUP BY tenant")
    for table in ("examples", "captures"):
        of_tenant, kept = f"FROM {table} AS stored WHERE stored.tenant = usage.tenant", _KEPT.format("stored")
        op.execute(
            f"UPDATE usage SET {table} = (SELECT COUNT(*) {of_tenant}), "
            f"bytes = bytes + (SELECT COALESCE(SUM({kept}), 0) {of_tenant})"
        )
