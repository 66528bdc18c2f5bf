"""API keys are made, rotated and revoked, and hold in memory before the answer."""

from datetime import timedelta

from server.errors import StorageFailed
from server.keys import Scope, id_of
from server.service import Service
from server.store.key_records import StoredKey, new_key

_DROPPED = (
    "the key opens nothing from now on, but that could not be stored: it would open again after a restart of the server; "
    "revoke it once more before that"
)


async def create_key(
    service: Service, tenant: str, scope: Scope, task: str | None, lifetime: timedelta | None
) -> tuple[StoredKey, str]:
    """Makes a key and returns its record and the key, which nobody can read again.

    Raises:
        InvalidRequest: a key for one task would have the scope `manage`.
        TaskNotFound: the tenant has no such task.
    """
    record, key = new_key(tenant, scope, task, lifetime)
    await service.pools.in_writer(service.store.keys.add, record)
    await service.pools.in_thread(service.keys.load)
    return record, key


async def rotate_key(service: Service, tenant: str, id_: str, grace: timedelta) -> tuple[StoredKey, str]:
    """Makes a key in the place of another, which is valid for `grace` yet, and returns its record and the key.

    Raises:
        KeyNotFound: the tenant has no such key, or it is not valid any more.
        KeyRotated: a key that took its place is valid.
    """
    id_ = id_of(id_) or id_  # Whoever sends the whole key means it.
    record, key = await service.pools.in_writer(service.store.keys.rotate, tenant, id_, grace)
    await service.pools.in_thread(service.keys.load)
    return record, key


async def revoke_key(service: Service, tenant: str, id_: str) -> None:
    """Revokes a key. No request that begins after this is answered to it.

    Raises:
        KeyNotFound: the tenant has no such key.
        StorageFailed: it opens nothing until the server is started again, but the store could not be told.
    """
    id_ = id_of(id_) or id_
    dropped = service.drop_key(tenant, id_)
    try:
        await service.pools.in_writer(service.store.keys.revoke, tenant, id_)
    except StorageFailed as error:
        if not dropped:
            raise
        raise StorageFailed(_DROPPED, disk_full=error.disk_full) from error
    await service.pools.in_thread(service.keys.load)
