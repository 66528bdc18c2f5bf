"""`/v1/keys` and `/v1/key`: API keys are made, listed, rotated and revoked, and a caller's own is shown."""

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.errors import (
    BodyTimeout,
    BodyTooLarge,
    InvalidRequest,
    KeyNotFound,
    KeyRotated,
    StorageFailed,
    TaskNotFound,
    UnsupportedMediaType,
)
from server.http.audited import audited
from server.http.bodies.content import read_json, read_json_if_any
from server.http.callers import Calling, needs
from server.http.dependencies import Served, reply
from server.http.openapi import KEY_BODY, ROTATE_BODY, answered
from server.http.problems import documented
from server.journeys.keys import create_key, revoke_key, rotate_key
from server.schemas.keys import KeyBody, KeyList, KeyReply, NewKeyReply, OwnKeyReply, RotateBody, key_fields

router = APIRouter(prefix="/v1", tags=["keys"])

_BODY_ERRORS = (BodyTimeout, BodyTooLarge, UnsupportedMediaType, InvalidRequest, StorageFailed)
_SECRET = {"Cache-Control": "no-store"}


@router.get(
    "/key",
    dependencies=needs("predict"),
    summary="The key of this request",
    responses={200: answered(OwnKeyReply, "Whose it is, and what it allows")},
)
async def own(caller: Calling) -> Response:
    """For clients to check a key before they use it."""
    assert caller.scope is not None, "strangers get no further than the check of keys"
    shown = OwnKeyReply(
        required=caller.key is not None,
        id=caller.key,
        tenant=caller.tenant,
        scope=caller.scope,
        task=caller.task,
        expires_at=caller.expires_at,
    )
    return reply(shown)


@router.get(
    "/keys",
    dependencies=needs("manage"),
    summary="List the keys of the tenant, the oldest first",
    responses={200: answered(KeyList, "Every key, also those that are not valid any more"), **documented(StorageFailed)},
)
async def list_keys(caller: Calling, service: Served) -> Response:
    found = await service.pools.in_thread(service.store.keys.page, caller.tenant)
    return reply(KeyList(keys=[KeyReply(**key_fields(key)) for key in found]))


@router.post(
    "/keys",
    dependencies=needs("manage") + audited("key.create"),
    status_code=201,
    summary="Make a key",
    responses={201: answered(NewKeyReply, "The key, this once"), **documented(TaskNotFound, *_BODY_ERRORS)},
    openapi_extra=KEY_BODY,
)
async def create(request: Request, caller: Calling, service: Served) -> Response:
    """It is of the tenant of the key that asks. From the first key on, the server answers nobody without one."""
    asked = await read_json(request, service, KeyBody)
    lifetime = None if asked.expires_in is None else timedelta(seconds=asked.expires_in)
    record, key = await create_key(service, caller.tenant, asked.scope, asked.task, lifetime)
    return reply(NewKeyReply(**key_fields(record), token=key), 201, _SECRET)


@router.post(
    "/keys/{key}/rotate",
    dependencies=needs("manage") + audited("key.rotate"),
    status_code=201,
    summary="Make a key in the place of another",
    responses={201: answered(NewKeyReply, "The new key, this once"), **documented(KeyNotFound, KeyRotated, *_BODY_ERRORS)},
    openapi_extra=ROTATE_BODY,
)
async def rotate(key: str, request: Request, caller: Calling, service: Served) -> Response:
    """It allows the same, and lasts as long from now on. The old one stays valid for a day, or as long as the body says.

    A key is rotated once: while the key in its place is valid, that one is to be rotated.
    """
    asked = await read_json_if_any(request, RotateBody)
    record, fresh = await rotate_key(service, caller.tenant, key, timedelta(seconds=asked.expires_in))
    return reply(NewKeyReply(**key_fields(record), token=fresh), 201, _SECRET)


@router.delete(
    "/keys/{key}",
    dependencies=needs("manage") + audited("key.revoke"),
    status_code=204,
    summary="Revoke a key",
    responses={204: {"description": "Revoked; it stays in the list"}, **documented(KeyNotFound, StorageFailed)},
)
async def revoke(key: str, caller: Calling, service: Served) -> Response:
    """No request that begins after the answer is answered to it. A second call changes nothing."""
    await revoke_key(service, caller.tenant, key)
    return Response(status_code=204)
