"""A version's `options` say which of them somebody asked for: in JSON, so that no table changes.

Releases of before cannot read such options; with a revision of their own they refuse the database, instead of failing on its tasks.
"""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Versions of before stay as they are: what was asked for is guessed (`server.head_options`)."""
