"""`/v1/backbones`: list, open, make the default, close."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from server.audit import making
from server.engine.descriptions import Description
from server.errors import (
    BackboneInUse,
    BackboneNotFound,
    BackboneNotOpen,
    BodyTimeout,
    BodyTooLarge,
    InvalidBundle,
    InvalidRequest,
    Overloaded,
    StorageFailed,
    UnsupportedMediaType,
)
from server.http.audited import audited
from server.http.bodies.content import read_json
from server.http.callers import Calling, needs
from server.http.dependencies import Served, reply
from server.http.openapi import BACKBONE_BODY, BACKBONE_PATCH_BODY, answered
from server.http.problems import documented
from server.schemas.replies import BackboneList, BackboneReply
from server.schemas.requests import BackboneBody, BackbonePatch

router = APIRouter(prefix="/v1/backbones", tags=["backbones"])

_BODY_ERRORS = (BodyTimeout, BodyTooLarge, UnsupportedMediaType, InvalidRequest)
_LOCATION = {"Location": {"description": "the backbone", "schema": {"type": "string"}}}


@router.get(
    "",
    dependencies=needs("predict"),
    summary="List backbones",
    responses={200: answered(BackboneList, "Every bundle, and the one new tasks get"), **documented(StorageFailed)},
)
async def list_backbones(caller: Calling, service: Served) -> Response:
    """The folders of bundles are looked at again. One whose manifest cannot be read is not in the list, unless it is needed, and
    `missing`: open it to hear why."""
    found = await service.backbones.describe(None if caller.operates else caller.tenant)
    shown = [_reply(description) for description in found.values()]
    return reply(BackboneList(default=service.backbones.default_id, backbones=shown))


@router.post(
    "",
    dependencies=needs("operate") + audited("backbone.open", "access"),
    status_code=201,
    summary="Open a bundle",
    responses={
        201: {**answered(BackboneReply, "Open: verified, checked and warm"), "headers": _LOCATION},
        200: {**answered(BackboneReply, "It was open already"), "headers": _LOCATION},
        **documented(BackboneNotFound, InvalidBundle, *_BODY_ERRORS, Overloaded, StorageFailed),
    },
    openapi_extra=BACKBONE_BODY,
)
async def open_backbone(request: Request, service: Served) -> Response:
    """The folders of bundles are looked at again, so that one which was put there, or mended, since the start can be opened.

    Nobody sees it before it is warm, and nothing has changed when it fails. New tasks get it once it is made the default.
    """
    wanted = await read_json(request, service, BackboneBody)
    served, is_new = await service.backbones.open(wanted.id)
    id_ = served.bundle.id
    making(f"backbones/{id_}")
    description = (await service.backbones.describe())[id_]
    return reply(_reply(description), 201 if is_new else 200, {"Location": f"{router.prefix}/{id_}"})


@router.get(
    "/{backbone}",
    dependencies=needs("predict"),
    summary="Show a backbone",
    responses={200: answered(BackboneReply, "The backbone"), **documented(BackboneNotFound, StorageFailed)},
)
async def show(backbone: str, caller: Calling, service: Served) -> Response:
    found = await service.backbones.describe(None if caller.operates else caller.tenant)
    if backbone not in found:
        raise BackboneNotFound(backbone)
    return reply(_reply(found[backbone]))


@router.patch(
    "/{backbone}",
    dependencies=needs("operate") + audited("backbone.default"),
    summary="Make an open backbone the one that new tasks get",
    responses={
        200: answered(BackboneReply, "The backbone as it is now"),
        **documented(BackboneNotFound, BackboneNotOpen, InvalidBundle, *_BODY_ERRORS, Overloaded, StorageFailed),
    },
    openapi_extra=BACKBONE_PATCH_BODY,
)
async def change(backbone: str, request: Request, service: Served) -> Response:
    """Holds after a restart too, unless the server is started with `--bundle`. Tasks that exist stay on their backbones."""
    await read_json(request, service, BackbonePatch)
    await service.backbones.check_known(backbone)
    await service.pools.in_writer(service.store.audit.begin)  # The default is in a file, not in the database.
    await service.backbones.make_default(backbone)
    return reply(_reply((await service.backbones.describe())[backbone]))


@router.delete(
    "/{backbone}",
    dependencies=needs("operate") + audited("backbone.close", "access"),
    status_code=204,
    summary="Close a backbone that no task uses",
    responses={204: {"description": "Closed; its folder stays"}, **documented(BackboneNotFound, BackboneInUse, StorageFailed)},
)
async def close(backbone: str, service: Served) -> Response:
    """Requests under way on it are answered first. A task that is rolled back to a version on it opens it again."""
    await service.backbones.close(backbone)
    return Response(status_code=204)


def _reply(described: Description) -> BackboneReply:
    manifest = described.manifest
    return BackboneReply(
        id=described.id,
        default=described.default,
        missing=manifest is None,
        open=bool(described.engines),
        engines=described.engines,
        active_tasks=described.active_tasks,
        unserved_tasks=described.unserved_tasks,
        embedding_dim=manifest.embedding_dim if manifest else None,
        input=manifest.input if manifest else None,
        architecture=manifest.architecture.name if manifest else None,
        dataset=manifest.training.dataset if manifest else None,
        evaluations=list(manifest.evaluations) if manifest else [],
    )
