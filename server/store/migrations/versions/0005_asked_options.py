"""A version's `options` say which of them somebody asked for. They are JSON, so no table changes.

Earlier releases cannot read such options. This revision makes them refuse the database, instead of failing on its tasks.
"""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Changes nothing. For older versions, `server.journeys.head_options` guesses what was asked for."""
