"""The records kept for retries say which version or refresh was made. The reply is rendered again from that.

Older answers are kept as they are, for their 24 hours. They are the rows with a status.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    on_sqlite = op.get_bind().dialect.name == "sqlite"  # Others put new columns last, and need not be copied.
    with op.batch_alter_table("replays", recreate="always" if on_sqlite else "never") as batch:
        batch.alter_column("status", existing_type=sa.Integer, nullable=True)
        batch.add_column(sa.Column("version", sa.Integer, nullable=True), insert_after="task" if on_sqlite else None)
        batch.add_column(sa.Column("name", sa.String, nullable=True), insert_after="version" if on_sqlite else None)
        batch.add_column(sa.Column("refresh", sa.String, nullable=True), insert_after="name" if on_sqlite else None)
