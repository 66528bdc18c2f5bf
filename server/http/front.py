"""The ASGI application: every request from its head to its line in the log.

Id given (`X-Request-ID`) -> protocol and host checked -> origin checked -> endpoint found -> key checked, room for images, and
quota -> endpoint called with a limited body -> answered, an error as a problem -> logged and counted.
"""

import logging
import re
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.cache.quotas import ActiveQuotas
from server.context import Changed, changed, request_id, tenant_id
from server.errors import HeadstartError, QuotaExceeded, StoredQuotaExceeded
from server.http.access import Access
from server.http.at_least import AT_LEAST, NAME
from server.http.audited import AuditTrail
from server.http.bodies.limits import BodyLimits, LimitedBody
from server.http.dialects import error_member, understand
from server.http.endpoints import Endpoints
from server.http.entrance import Entrance
from server.http.guard import Guard
from server.http.hosts import host_check
from server.http.open_inference.errors import error_reply, is_of_protocol
from server.http.open_inference.inflating import inflated
from server.http.origins import origin_check
from server.http.problems import TABLE, error_problem, problem
from server.http.protocol import check_protocol
from server.ids import new_id
from server.metrics import Metrics
from server.rates import paying
from server.settings import Settings
from server.tracing import Tracing

_log = logging.getLogger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
NOT_PASSED_ON = "headstart.not_passed_on"
"""In the scope of a request that a worker could not pass on: the error that answers it."""

_UNEXPECTED = "internal_error"
_UNCHARGED = frozenset({"open", "operate"})  # Whoever runs the server must not be kept out by a quota.
_CODES = {404: "not_found", 405: "method_not_allowed", 501: "not_implemented"}  # of what Starlette or a route raises
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")  # in the order of `Allow`


class Front:
    """The application.

    Args:
        others: what serves the paths that `endpoints` lack, and the lifespan.
        guard: tells whose request it is.
        quotas: tell how many requests it may make.
        trail: tells the audit of it.
        entrance: where requests with images wait for room.
        tracing: None without traces.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        others: ASGIApp,
        settings: Settings,
        metrics: Metrics,
        guard: Guard,
        quotas: ActiveQuotas,
        trail: AuditTrail,
        entrance: Entrance,
        tracing: Tracing | None,
    ) -> None:
        self._endpoints = endpoints
        self._others = others
        self._root = settings.root
        self._scheme = settings.scheme  # of the client's request, also if a worker passes it on
        self._metrics = metrics
        for code in (*(error.code for error in TABLE), _UNEXPECTED):  # What begins at 1 would be no growth to an alarm.
            metrics.errors.labels(code)
        self._access = Access(metrics, tracing)
        self._bodies = BodyLimits(settings)
        self._check_host = host_check(settings.hosts)
        self._check_origin = origin_check(settings.origins)
        self._guard = guard
        self._quotas = quotas
        self._trail = trail
        self._entrance = entrance
        self._admitted: ASGIApp = self._answer
        if settings.origins:
            self._admitted = CORSMiddleware(
                self._answer,
                allow_origins=sorted(settings.origins),
                allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
                allow_headers=["*"],
                expose_headers=[
                    "Location",
                    "Retry-After",
                    "RateLimit",
                    "RateLimit-Policy",
                    NAME,
                    "Idempotent-Replayed",
                    "Inference-Header-Content-Length",
                    "X-Request-ID",
                ],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._serve if scope["type"] == "http" else self._others)(scope, receive, send)

    async def admits(self, scope: Scope) -> bool:
        """Returns whether a request may be answered, as far as its head tells. If not, a call of this application refuses it.

        If so, the context has its tenant.
        """
        try:
            check_protocol(scope)
            self._check_host(scope)
            self._check_origin(scope)
            understand(scope, self._root)
            methods, parts = self._endpoints.find(self._path(scope))
            if methods:
                endpoint = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
                if endpoint is None:
                    return False
                tenant_id.set((await self._guard.admit(scope, endpoint.need, parts)).tenant)
        except HeadstartError:
            return False
        return True

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 0
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        id_ = given if _SANE_ID.fullmatch(given) else new_id("req")
        request_id.set(id_)
        self._access.begin(scope["method"], self._scheme, headers, id_)
        noted = Changed()
        changed.set(noted)
        paying.set(None)  # A pipelined request begins in the context of the one before it.
        if self._root:
            scope["root_path"] = self._root
            if not scope["path"].startswith(f"{self._root}/"):  # The proxy has removed it, and to Starlette it is a part.
                scope["path"] = self._root + scope["path"]
        understand(scope, self._root)
        scope["app"] = self  # With it Starlette raises an error where it would else answer in its own words.
        # HEAD is routed as GET. The connection has the first scope, and sends no body.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", id_.encode())]
                if (account := paying.get()) is not None:
                    message["headers"] += account.fields()
                if noted.at_least:
                    message["headers"].append((AT_LEAST, b"%d" % noted.at_least))
                if self._root:
                    message["headers"] = list(map(self._from_root, message["headers"]))
            await send(message)

        try:
            await self._admit(inner, receive, send_with_id)
        except Exception:
            _log.exception("unexpected")
            self._metrics.errors.labels(_UNEXPECTED).inc()
            inner["failure"] = _UNEXPECTED
            if status:  # The reply has begun. The server ends the connection, so that nobody takes it for a whole one.
                raise
            detail = "something went wrong on the server; its log has the details under this request_id"
            await self._writer(inner)(500, _UNEXPECTED, detail)(inner, receive, send_with_id)
        finally:
            route = getattr(inner.get("route"), "path", None)
            self._access.tell(scope["method"], scope["path"], route, status, time.perf_counter() - started)
            self._trail.end(inner)

    def _from_root(self, header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        name, value = header
        return (name, self._root.encode() + value) if name == b"location" and value.startswith(b"/") else header

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request if this server understands it, and it names this server."""
        try:
            check_protocol(scope)
            self._check_host(scope)
        except HeadstartError as error:
            await self._failure(scope, error)(scope, receive, send)
        else:
            await self._admitted(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request. Refuses web pages and callers without the right to ask, and images while there is no room for one.

        A refusal must cost next to nothing, or an overloaded server does little else.
        """
        as_sent = inflated(scope, receive) if is_of_protocol(self._path(scope)) else receive
        body = LimitedBody(self._bodies, scope, as_sent)
        try:
            self._check_origin(scope)
            if error := scope.get(NOT_PASSED_ON):
                raise error
            answer = await self._call(scope, body)
            await answer(scope, body.receive, send)
        except (HeadstartError, HTTPException, ClientDisconnect) as error:
            await self._failure(scope, error)(scope, body.receive, send)
        finally:
            body.release()

    async def _call(self, scope: Scope, body: LimitedBody) -> ASGIApp:
        """Returns the endpoint's answer, or the application that serves a path without an endpoint."""
        methods, parts = self._endpoints.find(self._path(scope))
        if not methods:
            return self._others
        endpoint = methods.get(scope["method"])
        scope["route"] = endpoint or next(iter(methods.values()))
        if endpoint is None:
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)
        caller = await self._guard.admit(scope, endpoint.need, parts)
        tenant_id.set(caller.tenant)
        self._trail.begin(scope, endpoint.audited, caller, parts)
        scope["route"] = None  # Refusals of what is too much are not told one by one.
        async with self._entrance.passed(scope, caller):
            if endpoint.need not in _UNCHARGED and (account := self._quotas.account(caller.tenant, caller.key)) is not None:
                paying.set(account)
                account.charge("requests", 1)
            scope["route"] = endpoint
            return await endpoint(Request(scope, body.receive), parts, caller)

    def _failure(self, scope: Scope, error: HeadstartError | HTTPException | ClientDisconnect) -> Response:
        """Returns the answer to what was raised."""
        if isinstance(error, HeadstartError):
            self._metrics.errors.labels(error.code).inc()
            scope["failure"] = error.code
            if isinstance(error, QuotaExceeded | StoredQuotaExceeded):
                self._metrics.quota_refusals.labels(error.quota).inc()
            return error_problem(error, self._writer(scope))
        if isinstance(error, ClientDisconnect):  # Nobody reads this; the status is for the logs, as nginx has it.
            scope["failure"] = "client_left"
            return Response(status_code=499)
        detail, headers = error.detail, dict(error.headers or {})
        if error.status_code == HTTPStatus.NOT_FOUND:
            ends_in_slash = scope["path"].endswith("/")
            detail = "there is nothing at this path" + ("; leave out the slash at its end" if ends_in_slash else "")
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            methods, _ = self._endpoints.find(self._path(scope))
            there = [method for method in _METHODS if method in methods or (method == "GET" and not methods)]
            headers["Allow"] = ", ".join(["GET", "HEAD", *there[1:]] if "GET" in there else there)
            detail = f"{scope['method']} is not possible here; these are: {headers['Allow']}"
        code = _CODES.get(error.status_code, "invalid_request")
        scope["failure"] = code
        return self._writer(scope)(error.status_code, code, detail, headers)

    def _path(self, scope: Scope) -> str:
        path: str = scope["path"]
        return path.removeprefix(self._root)

    def _writer(self, scope: Scope) -> Callable[..., Response]:
        """Returns what writes an error in the form of the interface that was asked."""
        path = self._path(scope)
        return error_reply if is_of_protocol(path) else partial(problem, member=error_member(path))
