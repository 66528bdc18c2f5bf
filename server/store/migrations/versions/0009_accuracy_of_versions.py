"""A version keeps the accuracy that was measured when it was made. Earlier versions have none."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"  # Others put new columns last, and need not be copied.
    with op.batch_alter_table("versions", recreate="always" if on_sqlite else "never") as batch:
        batch.add_column(sa.Column("accuracy", sa.JSON, nullable=True), insert_after="examples" if on_sqlite else None)
