"""The entrance: requests that bring images wait there for room, before anything of them is read but their head."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.types import Scope

from server.door import Door
from server.errors import Overloaded
from server.http.callers import Caller
from server.http.dialects import CUSTOM_VISION

_BRINGS_IMAGES = re.compile(
    r".*/v1/(tasks(/[^/]+/(examples|predict|hf))?|predict)"
    r"|.*/v2/models/.+/infer"
    rf"|.*{re.escape(CUSTOM_VISION)}/[^/]+/classify/iterations/[^/]+/image(/nostore)?"
)
_IMAGE_BYTES = 16_384  # about as many as a photograph has that was made small enough to be recognised, or more
_UNDECLARED = 1_000_000


class Entrance:
    """The way in of every request.

    Args:
        door: where requests wait for room, if the server has keys. Without keys there is one tenant, and it is refused at once.
        has_room: whether there is room for another image of a tenant.
    """

    def __init__(self, door: Door, has_room: Callable[[str], bool]) -> None:
        self._door = door
        self._has_room = has_room

    @asynccontextmanager
    async def passed(self, scope: Scope, caller: Caller) -> AsyncIterator[None]:
        """Waits until a request with images may be read; the block answers it.

        Raises:
            Overloaded: there is no room.
        """
        if scope["method"] != "POST" or not _BRINGS_IMAGES.fullmatch(scope["path"]):
            yield
        elif caller.key is not None:
            async with self._door.passed(1 + _declared(scope) // _IMAGE_BYTES):
                yield
        elif self._has_room(caller.tenant):
            yield
        else:
            raise Overloaded("the server is working on as many images as it takes; try again")


def _declared(scope: Scope) -> int:
    """Returns the bytes of the body, as the request declares them."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return _UNDECLARED
