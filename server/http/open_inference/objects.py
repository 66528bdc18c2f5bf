"""Bodies without tensors: small, perhaps empty, and of whatever type their sender says or does not say."""

from typing import TypeVar

from fastapi import Request
from msgspec import Raw, Struct
from msgspec.json import decode

from server.errors import BodyTooLarge, InvalidRequest
from server.http.bodies.content import WITHOUT_IMAGES


class IndexBody(Struct, frozen=True):
    """`POST /v2/repository/index`."""

    ready: bool = False


class LoadBody(Struct, frozen=True):
    """`POST /v2/repository/models/{model}/load`."""

    parameters: dict[str, Raw] | None = None


_Body = TypeVar("_Body", IndexBody, LoadBody)


async def read_object(request: Request, model: type[_Body]) -> _Body:
    """Returns a body, or what it is if nothing is said.

    Raises:
        InvalidRequest: it is not JSON, or does not fit.
        BodyTooLarge: it has more bytes than a body without images.
        ClientDisconnect: the client left before its end.
    """
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > WITHOUT_IMAGES:
            raise BodyTooLarge(WITHOUT_IMAGES)
    try:
        return decode(raw, type=model) if raw else model()
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the JSON body: {error}") from None
