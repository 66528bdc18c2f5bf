"""The application: lifespan, routers, and how every error is answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from server.errors import HeadstartError, InvalidRequest
from server.http.dependencies import refuse_unknown_parameters
from server.http.hosts import host_check
from server.http.middleware import BodyLimits, Gate, RequestContext, check_protocol, room_for_images
from server.http.openapi import openapi_document
from server.http.origins import origin_check
from server.http.problems import answer_error, problem
from server.http.routes import backbones, docs, health, limits, predictions, quality, refreshes, tasks
from server.refresh.worker import Refreshes
from server.service import Service
from server.settings import Settings

_DESCRIPTION = """A few labelled images in, a working classifier out, in one request.

Errors are `application/problem+json` (RFC 9457) with a stable `code`. Every response carries `X-Request-ID`.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application, warm: what cannot be opened is raised here, before anything listens.

    Raises:
        BundleError, EngineError: the bundle for new tasks cannot be opened.
        StoreError: the data directory cannot be used.
    """
    service = Service(settings)
    working = Refreshes(service)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        working.start()
        yield
        await working.stop()
        service.close()

    app = FastAPI(
        title="Headstart",
        version=version("headstart-server"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page runs scripts of another host.
        redoc_url=None,
        redirect_slashes=False,  # It would lead to the Host of the request, and to http behind a proxy that ends TLS.
    )
    app.state.service = service
    app.state.refreshes = working
    for module in (predictions, tasks, quality, backbones, refreshes, limits, health):
        app.include_router(module.router, dependencies=[Depends(refuse_unknown_parameters)])
    app.include_router(docs.router)
    app.add_route("/", lambda _request: RedirectResponse("/docs"), include_in_schema=False)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    app.add_exception_handler(HeadstartError, _headstart_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_middleware(BodyLimits, settings=settings)
    room = room_for_images(service.backbones.check_room)
    app.add_middleware(Gate, checks=[origin_check(settings.origins), room], answer=answer_error)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(settings.origins),
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=["Location", "Retry-After", "Idempotent-Replayed", "X-Request-ID"],
        )
    app.add_middleware(Gate, checks=[check_protocol, host_check(settings.hosts)], answer=answer_error)
    app.add_middleware(RequestContext, metrics=service.metrics, unexpected=_unexpected, root_path=settings.root)
    return app


async def _headstart_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HeadstartError)
    return answer_error(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return answer_error(request, InvalidRequest(f"{'.'.join(map(str, first['loc']))}: {first['msg']}"))


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the form of every other error."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    detail, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 404:
        ends_in_slash = request.scope["path"].endswith("/")
        detail = "there is nothing at this path" + ("; leave out the slash at its end" if ends_in_slash else "")
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_of(request))
        detail = f"{request.method} is not possible here; these are: {headers['Allow']}"
    return problem(error.status_code, code, detail, headers)


def _methods_of(request: Request) -> list[str]:
    """The methods of all routes with the path of a request; Starlette tells those of the first alone."""
    routes = request.app.routes
    there = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    if not there:  # of files that are served as they are, whose route takes every method for its own
        there = ["GET"]
    return ["GET", "HEAD", *there[1:]] if "GET" in there else there


async def _client_left(_request: Request, _error: Exception) -> Response:
    """Nobody reads this; the status is for the logs, as nginx has it."""
    return Response(status_code=499)


def _unexpected() -> Response:
    """The answer to a fault of ours."""
    detail = "something went wrong on the server; its log has the details under this request_id"
    return problem(500, "internal_error", detail)
