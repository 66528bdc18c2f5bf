"""`/v1/limits`: how much a request may bring, for clients to know before they send it, and the caller's quotas."""

from fastapi import APIRouter
from fastapi.responses import Response

from server.errors import StorageFailed
from server.http.callers import Calling, needs
from server.http.dependencies import Served, reply
from server.http.openapi import answered
from server.http.problems import documented
from server.journeys.quotas import quotas_of
from server.rates import paying
from server.schemas.limits import Limits

router = APIRouter(prefix="/v1/limits", tags=["limits"])


@router.get(
    "",
    dependencies=needs("predict"),
    summary="How much a request may bring, and the caller's quotas",
    responses={200: answered(Limits, "The limits"), **documented(StorageFailed)},
)
async def limits(caller: Calling, service: Served) -> Response:
    """No request may bring more images than the caller's quota of a minute."""
    settings, account = service.settings, paying.get()
    quota = None if account is None else account.most("images")
    images, new_examples = (most if quota is None else min(most, quota) for most in (settings.max_images, settings.queue_images))
    return reply(
        Limits(
            body_bytes=settings.max_body_bytes,
            image_bytes=settings.max_image_bytes,
            image_pixels=settings.max_image_pixels,
            images=images,
            new_examples=new_examples,
            classes=settings.max_classes,
            examples=settings.max_examples,
            quotas=await quotas_of(service, caller.tenant, account),
        )
    )
