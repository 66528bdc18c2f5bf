"""`/v1/backbones`: the bundles this server knows."""

from fastapi import APIRouter
from fastapi.responses import Response

from server.routes.dependencies import Served, reply
from server.routes.openapi import answered
from server.schemas import BackboneList, BackboneReply

router = APIRouter(prefix="/v1/backbones", tags=["backbones"])


@router.get("", summary="List backbones", responses={200: answered(BackboneList, "Every bundle, and the one new tasks get")})
async def list_backbones(service: Served) -> Response:
    default = service.backbones.default.bundle.id
    return reply(
        BackboneList(
            backbones=[
                BackboneReply(
                    id=bundle.id,
                    default=bundle.id == default,
                    embedding_dim=bundle.manifest.embedding_dim,
                    input=bundle.manifest.input,
                    architecture=bundle.manifest.architecture.name,
                    dataset=bundle.manifest.training.dataset,
                    evaluations=list(bundle.manifest.evaluations),
                )
                for bundle in service.backbones.bundles.values()
            ]
        )
    )
