"""`/v1/limits`: how much a request may bring, for clients to know before they send it."""

from fastapi import APIRouter
from fastapi.responses import Response

from server.http.callers import needs
from server.http.dependencies import Served, reply
from server.http.openapi import answered
from server.schemas.replies import Limits

router = APIRouter(prefix="/v1/limits", tags=["limits"])


@router.get(
    "", dependencies=needs("predict"), summary="How much a request may bring", responses={200: answered(Limits, "The limits")}
)
async def limits(service: Served) -> Response:
    settings = service.settings
    return reply(
        Limits(
            body_bytes=settings.max_body_bytes,
            image_bytes=settings.max_image_bytes,
            image_pixels=settings.max_image_pixels,
            images=settings.max_images,
            new_examples=settings.queue_images,
            classes=settings.max_classes,
            examples=settings.max_examples,
        )
    )
