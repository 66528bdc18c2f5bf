"""`/healthz`, `/readyz`, `/metrics`: for those who operate the server."""

import asyncio
import logging
from contextlib import suppress

from fastapi import APIRouter
from fastapi.responses import Response

from models.bundle import BundleError
from server.engine.descriptions import Description
from server.errors import HeadstartError, StorageFailed
from server.http.callers import Caller, Calling, needs
from server.http.dependencies import Served, reply
from server.http.openapi import answered
from server.schemas.replies import Health
from server.service import Service

router = APIRouter(tags=["operations"])

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 10.0
_METRICS = "headstart_active_heads 3.0\n"


@router.get("/healthz", dependencies=needs("open"), summary="Alive", responses={200: answered(Health, "The process answers")})
async def alive() -> Response:
    return reply(Health(status="ok"))


@router.get(
    "/readyz",
    dependencies=needs("open"),
    summary="Warm and able to serve",
    responses={200: answered(Health, "Ready"), 503: answered(Health, "Not able to serve; `checks` says what fails")},
)
async def ready(caller: Calling, service: Served) -> Response:
    """Sends images of known embedding through the queue that serves. Reads from the store, and writes to it unless that has
    just been done. Looks for the bundles that tasks need, and reads from the object store of the images. If some tasks lack
    their bundle, the object store fails, or the disk is full, the server is `degraded`; the answer is still 200, since
    everything else is served. A server that is about to stop is `stopping`.
    """
    health, able = await health_of(service, caller)
    return reply(health, 200 if able else 503)


async def health_of(service: Service, caller: Caller) -> tuple[Health, bool]:
    """Returns how well the server is, and whether it is able to serve."""
    if service.leaving.begun:
        return Health(status="stopping"), False
    checks = {}
    healthy, degraded = True, False
    run = service.pools.in_writer if service.store.check_writes else service.pools.in_thread
    for name, check in (("engine", service.backbones.check()), ("store", run(service.store.check))):
        try:
            await asyncio.wait_for(check, _PATIENCE_SECONDS)
            checks[name] = "ok"
        except (HeadstartError, BundleError, TimeoutError) as error:
            _log.error("not ready: %s: %s", name, error or "no answer in time")
            full = isinstance(error, StorageFailed) and error.disk_full
            degraded |= full
            healthy &= full
            checks[name] = f"failing: {error.detail}" if isinstance(error, StorageFailed) else "failing"
    if service.store.images.elsewhere:  # Predictions go on without it.
        try:
            await asyncio.wait_for(service.pools.in_images(service.store.images.check), _PATIENCE_SECONDS)
            checks["images"] = "ok"
        except (HeadstartError, TimeoutError) as error:
            _log.error("not ready: images: %s", error or "no answer in time")
            degraded = True
            checks["images"] = "failing"
    checks["bundles"] = "ok"
    try:
        if unserved := await asyncio.wait_for(service.backbones.unserved(), _PATIENCE_SECONDS):
            named = f"missing: {', '.join(map(_needed, unserved))}"
            _log.error("bundles %s", named)
            checks["bundles"] = named if caller.operates else "missing"
            healthy &= service.backbones.served_default is not None
            degraded = True
    except (HeadstartError, TimeoutError):  # The store, which says so itself.
        checks["bundles"] = "unknown"
    status = ("degraded" if degraded else "ready") if healthy else "unavailable"
    return Health(status=status, checks=checks), healthy


@router.get(
    "/metrics",
    dependencies=needs("operate"),
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"description": "In its text format", "content": {"text/plain": {"example": _METRICS}}}},
)
async def metrics(service: Served) -> Response:
    shown = service.metrics
    with suppress(HeadstartError):  # A failing store must not take the other metrics away.
        sizes = await service.pools.in_thread(service.store.sizes)
        files = {"database": sizes.database, "log": sizes.log}
        shown.store_bytes.show({(file,): size for file, size in files.items() if size is not None})
        shown.disk_free_bytes.show({} if sizes.free is None else {(): sizes.free})
        if service.store.images.elsewhere:
            shown.unerased_objects.show({(): await service.pools.in_thread(service.store.images.unerased)})
        by_state = await service.pools.in_thread(service.store.refreshes.by_state)
        shown.refreshes.show({(state,): count for state, count in by_state.items()})
        await service.backbones.unserved()
    return Response(service.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _needed(unserved: Description) -> str:
    """A bundle that is not there, and by whom it is needed."""
    return f"{unserved.id} ({'new tasks, ' if unserved.default else ''}{unserved.unserved_tasks} tasks)"
