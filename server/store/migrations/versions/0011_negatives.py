"""An example may have no class: its label is NULL. `classes` of a version count such examples under null, so that older releases
must refuse the database.

Only the declaration of the table changes, so that no image is rewritten. SQLite has no statement for that. Its documentation
("Making Other Kinds Of Table Schema Changes") describes this way of removing a NOT NULL.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

_BEFORE, _AFTER = "label VARCHAR NOT NULL", "label VARCHAR"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        op.alter_column("examples", "label", nullable=True)
        return
    declared = "FROM sqlite_schema WHERE type = 'table' AND name = 'examples'"
    sql = connection.exec_driver_sql(f"SELECT sql {declared}").scalar_one()
    assert sql.count(_BEFORE) == 1
    number = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.exec_driver_sql(
        "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = 'examples'", (sql.replace(_BEFORE, _AFTER),)
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {number + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
