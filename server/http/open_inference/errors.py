"""Errors in the form of the Open Inference Protocol, whatever it was that refused the request."""

from collections.abc import Sequence

from fastapi.responses import Response
from msgspec.json import encode

from server.errors import UnreadableImage


def is_of_protocol(path: str) -> bool:
    """Returns whether a path is one of the protocol's, be there anything or not."""
    return path == "/v2" or path.startswith("/v2/")


def error_reply(
    status: int, _code: str, detail: str, headers: dict[str, str] | None = None, _images: Sequence[UnreadableImage] = ()
) -> Response:
    """Returns a response with the detail alone, and the parameters of `server.http.problems.problem`."""
    return Response(encode({"error": detail}), status, headers, "application/json")
