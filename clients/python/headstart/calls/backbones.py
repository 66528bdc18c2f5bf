"""The API's backbones: bundles that the server can run."""

from urllib.parse import quote

from headstart.http.methods import Awaiting, Blocking, Calls, call
from headstart.http.steps import Steps
from headstart.replies.backbones import Backbone

_BACKBONES = "/v1/backbones"


class BackboneCalls(Calls):
    """The calls about backbones."""

    @call
    def list(self) -> Steps[tuple[Backbone, ...]]:
        """All backbones in the server's folders of bundles, open or not."""
        return self._ask(lambda body: tuple(map(Backbone.from_json, body["backbones"])), "GET", _BACKBONES)

    @call
    def open(self, backbone: str) -> Steps[Backbone]:
        """Has the server open a bundle, `name@version`, if it is not open already.

        Raises:
            InvalidBundle: the bundle cannot be trusted, read, or run on the server; nothing was changed.
        """
        return self._ask(Backbone.from_json, "POST", _BACKBONES, json={"id": backbone})

    @call
    def make_default(self, backbone: str) -> Steps[Backbone]:
        """Gives new tasks this backbone, which must be open. Tasks that exist stay on theirs.

        Raises:
            BackboneNotOpen: it is not open.
        """
        return self._ask(Backbone.from_json, "PATCH", _path(backbone), json={"default": True})

    @call
    def close(self, backbone: str) -> Steps[None]:
        """Has the server close a backbone that no task uses; its bundle's folder stays.

        Raises:
            BackboneInUse: tasks use it, or new tasks get it, or work is under way on it.
        """
        yield from self._exchange.delete(_path(backbone))


class Backbones(BackboneCalls, Blocking):
    """Lists, opens and closes backbones, and sets the default."""


class AsyncBackbones(BackboneCalls, Awaiting):
    """As `Backbones`, to be awaited."""


def _path(backbone: str) -> str:
    return f"{_BACKBONES}/{quote(backbone, safe='@')}"
