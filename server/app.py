"""The application: its parts and its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import Router

from server.engine.opening import OpenElsewhere
from server.http.audited import AuditTrail
from server.http.endpoints import Endpoints
from server.http.entrance import Entrance
from server.http.forwarding import Forwarding
from server.http.front import Front
from server.http.guard import Guard
from server.http.inside import Application, Inside
from server.http.openapi import openapi_document
from server.http.routes import (
    archive,
    backbones,
    captures,
    classifier,
    custom_vision,
    events,
    health,
    hugging_face,
    keys,
    limits,
    open_inference,
    predictions,
    quality,
    refreshes,
    tasks,
    tools,
)
from server.http.routes.docs import docs_routes
from server.http.routes.page import page_routes
from server.http.tools import Tools, installed
from server.leaving import Leaving
from server.refresh.worker import RefreshWorker
from server.seat import Seat
from server.service import Service
from server.settings import Settings
from server.tracing import open_tracing

ROUTES = [
    route
    for module in (
        *(predictions, tasks, archive, classifier, captures, quality, backbones, refreshes, events, limits, keys, health),
        *(open_inference, hugging_face, custom_vision),
    )
    for route in module.router.routes
    if isinstance(route, APIRoute)
]


def create_app(
    settings: Settings, seat: Seat | None = None, leaving: Leaving | None = None, elsewhere: OpenElsewhere | None = None
) -> Application:
    """Returns the application, warm. Everything is opened here, so that errors come before anything listens.

    Args:
        seat: among several processes.
        leaving: tells whether the server is about to stop; None if nobody says so before.
        elsewhere: opens engines in other processes than those of the seat; None if there are none.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
        StoreError: the data directory cannot be used.
        InvalidSettings: other machines could reach the server, and it has no key; or OIDC tokens cannot be checked.
    """
    service = Service(settings, seat, leaving, elsewhere)
    working = RefreshWorker(service)
    tracing = open_tracing()
    follows = seat is not None and not seat.owns

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        service.start()
        if not follows:
            working.start()
        yield
        await agents.close()
        await working.stop()
        service.close()
        if tracing is not None:
            tracing.close()

    agents = Tools(lambda: Inside(app, settings))
    further = [route for route in tools.router.routes if isinstance(route, APIRoute)] if installed() else []
    endpoints = Endpoints([*ROUTES, *further], {Service: service, RefreshWorker: working, Tools: agents})
    pages = [*page_routes(), *docs_routes(lambda: openapi_document(ROUTES), settings.root)]
    # No redirect for a superfluous slash. It would go to the Host of the request, and to http behind a proxy that ends TLS.
    others = Router(pages, redirect_slashes=False, lifespan=lifespan)
    guard = Guard(service.keys, service.tokens, service.has_heard, service.hear)
    trail = AuditTrail(service.audit)
    entrance = Entrance(service.door, service.backbones.has_room)
    front = Front(endpoints, others, settings, service.metrics, guard, service.quotas, trail, entrance, tracing)
    app: Application = Forwarding(front, service, seat.requests) if seat is not None and follows else front
    return app
