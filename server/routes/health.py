"""`/healthz`, `/readyz`, `/metrics`: for those who operate the server."""

import asyncio
import logging

from fastapi import APIRouter
from fastapi.responses import Response

from models.bundle import BundleError
from server.errors import HeadstartError
from server.routes.dependencies import Served, reply
from server.routes.openapi import answered
from server.schemas.replies import Health

router = APIRouter(tags=["operations"])

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0
_METRICS = "headstart_active_heads 3.0\n"


@router.get("/healthz", summary="Alive", responses={200: answered(Health, "The process answers")})
async def alive() -> Response:
    return reply(Health(status="ok"))


@router.get(
    "/readyz",
    summary="Warm and able to serve",
    responses={200: answered(Health, "Ready"), 503: answered(Health, "Not able to serve; `checks` says what fails")},
)
async def ready(service: Served) -> Response:
    """Sends images of known embedding through the queue that serves, and reads from the store."""
    checks = {}
    for name, check in (("engine", service.backbones.check()), ("store", service.in_thread(service.store.check))):
        try:
            await asyncio.wait_for(check, _PATIENCE_SECONDS)
            checks[name] = "ok"
        except (HeadstartError, BundleError, TimeoutError) as error:
            _log.error("not ready: %s: %s", name, error or "no answer in time")
            checks[name] = "failing"
    healthy = set(checks.values()) == {"ok"}
    return reply(Health(status="ready" if healthy else "unavailable", checks=checks), 200 if healthy else 503)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"description": "In its text format", "content": {"text/plain": {"example": _METRICS}}}},
)
async def metrics(service: Served) -> Response:
    return Response(service.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
