"""A version's `options` say which of them somebody asked for: in JSON, so that no table changes.

Earlier releases cannot read such options. With a revision of its own they refuse the database, instead of failing on its tasks.
"""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Versions of before stay as they are: what was asked for is guessed (`server.journeys.head_options`)."""
