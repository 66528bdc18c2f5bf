"""The calls about the server and its caller."""

from headstart.http.methods import Calls, call
from headstart.http.steps import Steps
from headstart.limits import Quota
from headstart.replies.keys import Key


class ServerCalls(Calls):
    """The calls about the server and its caller."""

    @call
    def ready(self) -> Steps[bool]:
        """True if a server is there and able to serve; tries once."""
        return self._exchange.answers("/readyz")

    @call
    def key(self) -> Steps[Key]:
        """Whose key the client sends, and what it allows. Raises Unauthenticated if the server asks for one that is valid."""
        return self._ask(Key.from_json, "GET", "/v1/key")

    @call
    def quotas(self) -> Steps[tuple[Quota, ...]]:
        """The quotas that whoever runs the server has set for the client's tenant and key, and how much of each is used."""
        return self._ask(lambda body: tuple(map(Quota.from_json, body["quotas"])), "GET", "/v1/limits")
