"""The API's backbones: bundles that the server can run."""

from urllib.parse import quote

from headstart.http.transport import Transport, parse
from headstart.replies.backbones import Backbone

_BACKBONES = "/v1/backbones"


class Backbones:
    """Lists, opens and closes backbones, and sets the default."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> tuple[Backbone, ...]:
        """All backbones in the server's folders of bundles, open or not."""
        response = self._transport.send("GET", _BACKBONES)
        return parse(lambda body: tuple(Backbone.from_json(each) for each in body["backbones"]), response)

    def open(self, backbone: str) -> Backbone:
        """Has the server open a bundle, `name@version`, if it is not open already.

        Raises:
            InvalidBundle: the bundle cannot be trusted, read, or run on the server; nothing was changed.
        """
        return parse(Backbone.from_json, self._transport.send("POST", _BACKBONES, json={"id": backbone}))

    def make_default(self, backbone: str) -> Backbone:
        """Gives new tasks this backbone, which must be open. Tasks that exist stay on theirs.

        Raises:
            BackboneNotOpen: it is not open.
        """
        return parse(Backbone.from_json, self._transport.send("PATCH", _path(backbone), json={"default": True}))

    def close(self, backbone: str) -> None:
        """Has the server close a backbone that no task uses; its bundle's folder stays.

        Raises:
            BackboneInUse: tasks use it, or new tasks get it, or work is under way on it.
        """
        self._transport.delete(_path(backbone))


def _path(backbone: str) -> str:
    return f"{_BACKBONES}/{quote(backbone, safe='@')}"
