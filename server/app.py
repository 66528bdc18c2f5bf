"""The application: its parts and its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import Router

from server.http.endpoints import Endpoints
from server.http.front import Front
from server.http.guard import Guard
from server.http.openapi import openapi_document
from server.http.routes import archive, backbones, captures, events, health, keys, limits, predictions, quality, refreshes, tasks
from server.http.routes.docs import docs_routes
from server.http.routes.page import page_routes
from server.refresh.worker import RefreshWorker
from server.service import Service
from server.settings import Settings

ROUTES = [
    route
    for module in (predictions, tasks, archive, captures, quality, backbones, refreshes, events, limits, keys, health)
    for route in module.router.routes
    if isinstance(route, APIRoute)
]


def create_app(settings: Settings) -> Front:
    """Returns the application, warm. Everything is opened here, so that errors come before anything listens.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
        StoreError: the data directory cannot be used.
        InvalidSettings: other machines could reach the server, and it has no key.
    """
    service = Service(settings)
    working = RefreshWorker(service)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        working.start()
        yield
        await working.stop()
        service.close()

    endpoints = Endpoints(ROUTES, {Service: service, RefreshWorker: working})
    pages = [*page_routes(), *docs_routes(lambda: openapi_document(ROUTES), settings.root)]
    # No redirect for a superfluous slash. It would go to the Host of the request, and to http behind a proxy that ends TLS.
    others = Router(pages, redirect_slashes=False, lifespan=lifespan)
    return Front(endpoints, others, settings, service.metrics, Guard(service.keys), service.quotas, service.backbones.check_room)
