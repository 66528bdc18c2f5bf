"""The records kept for retries say which version or refresh was made. The reply is rendered again from that.

Older answers are kept as they are, for their 24 hours. They are the rows with a status.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    with op.batch_alter_table("replays", recreate="always") as batch:
        batch.alter_column("status", existing_type=sa.Integer, nullable=True)
        batch.add_column(sa.Column("version", sa.Integer, nullable=True), insert_after="task")
        batch.add_column(sa.Column("name", sa.String, nullable=True), insert_after="version")
        batch.add_column(sa.Column("refresh", sa.String, nullable=True), insert_after="name")
