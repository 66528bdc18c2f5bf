"""`/openapi.json`, and `/docs`: the interactive reference, of Swagger UI out of a package, so that nothing on it comes from
another host."""

from collections.abc import Callable
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.routing import BaseRoute, Mount, Route

# Addresses are relative, so that they hold behind a proxy that adds a path.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Headstart</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def docs_routes(make_document: Callable[[], dict[str, Any]], root: str) -> list[BaseRoute]:
    """The routes of the reference, which the OpenAPI document does not tell of.

    Args:
        make_document: makes that document; called when it is first asked for.
        root: the path that a proxy offers the server under.
    """

    @cache
    def document() -> Response:
        servers = {"servers": [{"url": root}]} if root else {}
        return JSONResponse(make_document() | servers)

    async def openapi(_request: Request) -> Response:
        return document()

    return [
        Route("/openapi.json", openapi),
        Route("/docs", _page),
        Route("/docs/start.js", _start),
        Mount("/docs/assets", StaticFiles(packages=[("fastapi_swagger", "resources")])),
    ]


async def _page(_request: Request) -> Response:
    return Response(_PAGE, media_type="text/html", headers=_HEADERS)


async def _start(_request: Request) -> Response:
    return Response(_START, media_type="text/javascript", headers=_HEADERS)
