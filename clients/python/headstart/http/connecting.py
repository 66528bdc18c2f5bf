"""Connections to a server: of both kinds of client, by the same arguments."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from headstart.http.address import checked
from headstart.http.credentials import request_headers
from headstart.http.drivers import AsyncDriver, BlockingDriver
from headstart.http.exchange import Exchange
from headstart.version import VERSION

_CONNECT_TIMEOUT = 5.0

Transport = httpx.AsyncBaseTransport
"""What carries an asynchronous client's requests."""


@dataclass(frozen=True, slots=True)
class Address:
    """The server that a client asks, and what its requests carry.

    Args:
        url: of the server.
        token, headers: as in `headstart.http.credentials.request_headers`.
        timeout: seconds that the server may be silent within one request.
        waiting: called with the seconds that a request is about to wait for a quota.
    """

    url: str
    token: str | None
    headers: Mapping[str, str] | None
    timeout: float
    waiting: Callable[[float], None] | None

    def blocking(self) -> tuple[Exchange, BlockingDriver]:
        """Connections for threads.

        Raises:
            ValueError, TypeError: the address, the token or a header is malformed.
        """
        shown = checked(self.url)
        http = httpx.Client(**self._options(), **self._network())
        return Exchange(shown, http.build_request, waiting=self.waiting), BlockingDriver(http)

    def awaiting(self, transport: Transport | None) -> tuple[Exchange, AsyncDriver]:
        """Connections for an event loop.

        Args:
            transport: carries the requests; None for the network. A request is then sent once, since whoever is refused can tell
                better whether to wait, and it has no key of the environment.

        Raises:
            ValueError, TypeError: the address, the token or a header is malformed.
        """
        shown = checked(self.url)
        if transport is None:
            http = httpx.AsyncClient(**self._options(), **self._network())
            return Exchange(shown, http.build_request, waiting=self.waiting), AsyncDriver(http)
        http = httpx.AsyncClient(**self._options({}), transport=transport, trust_env=False)
        return Exchange(shown, http.build_request, tries=1, waiting=self.waiting), AsyncDriver(http)

    def _options(self, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
        return {
            "base_url": self.url,
            "timeout": httpx.Timeout(self.timeout, connect=min(self.timeout, _CONNECT_TIMEOUT)),
            "headers": {
                "User-Agent": f"headstart-client/{VERSION}",
                **request_headers(self.url, self.token, self.headers, environment),
            },
        }

    def _network(self) -> dict[str, Any]:
        return {
            "verify": httpx.create_ssl_context(),  # `SSL_CERT_FILE` of the environment holds for loopback, too.
            # A company's proxy cannot reach this machine's own loopback.
            "trust_env": urlsplit(self.url).hostname not in {"127.0.0.1", "::1", "localhost"},
        }
