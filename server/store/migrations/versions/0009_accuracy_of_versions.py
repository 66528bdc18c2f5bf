"""A version keeps the accuracy that was measured when it was made. Earlier versions have none."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    with op.batch_alter_table("versions", recreate="always") as batch:
        batch.add_column(sa.Column("accuracy", sa.JSON, nullable=True), insert_after="examples")
