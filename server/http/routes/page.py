"""`/`: the page for people, built from `clients/web` into `server/web`. Nothing on it comes from another host."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response
from starlette.routing import BaseRoute, Route

BUILT = Path(__file__).parents[2] / "web"

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# Photographs that a person chose, and frames of the camera, are shown as `blob:`.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",  # A browser keeps the file and asks whether it is still the same.
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_routes() -> list[BaseRoute]:
    """The routes of the page: `/`, and its files below `/page/`. They are read here, once."""
    return [
        Route("/" if path.name == "index.html" else f"/page/{path.name}", _serving(path))
        for path in sorted(BUILT.iterdir())
        if path.suffix in _TYPES
    ]


def _serving(path: Path) -> Callable[[Request], Awaitable[Response]]:
    """Returns an endpoint that answers with a file, or with 304 where the browser has the same bytes already."""
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**_HEADERS, "ETag": etag}
    media_type = _TYPES[path.suffix]

    async def serve(request: Request) -> Response:
        held = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
        if etag in held:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return serve
