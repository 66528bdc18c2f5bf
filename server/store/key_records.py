"""The record that the table of keys takes and returns."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from server.errors import InvalidRequest
from server.keys import Scope, digest_of, make_key


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An API key, without its secret.

    Attributes:
        task: the id of the only task that the key is for; None for all of the tenant.
        sha256: of the whole key.
        expires_at: the time from which it opens nothing; None for never.
        revoked_at: None unless it was revoked.
        last_used_at: some minutes old at most; None if it was never used.
    """

    tenant: str
    id: str
    scope: Scope
    task: str | None
    sha256: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Returns whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_key(tenant: str, scope: Scope, task: str | None, lifetime: timedelta | None) -> tuple[StoredKey, str]:
    """Returns the record of a new key, and the key.

    Raises:
        InvalidRequest: a key for one task would have the scope `manage`.
    """
    if task is not None and scope == "manage":
        raise InvalidRequest("a key for one task has the scope predict or write, not manage")
    id_, key = make_key()
    now = datetime.now(UTC)
    return StoredKey(tenant, id_, scope, task, digest_of(key), now, None if lifetime is None else now + lifetime), key
