"""The record of each answered request: a line in the log, the metrics, and a span where traces are asked for."""

import logging
from collections.abc import Mapping
from urllib.parse import quote

from prometheus_client import Counter, Histogram

from server.keys import without_secrets
from server.metrics import Metrics
from server.tracing import Tracing

_log = logging.getLogger("server.access")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OF_OPERATORS = frozenset({"/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
_SHOWN = 200  # characters of a path in the log


class Access:
    """Counts, times, logs and traces requests."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None) -> None:
        self._metrics = metrics
        self._tracing = tracing
        # As many as there are methods, routes and statuses.
        self._counters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def begin(self, method: str, scheme: str, headers: Mapping[bytes, bytes], request: str) -> None:
        """Begins the record of a request with that id."""
        if self._tracing is not None:
            self._tracing.begin(method if method in _METHODS else "_OTHER", scheme, headers, request)

    def tell(self, method: str, path: str, route: str | None, status: int, seconds: float) -> None:
        """Tells of a request.

        Args:
            route: the path with the names of its parts, since task ids would make a metric of their own each; None if unknown.
        """
        known = method if method in _METHODS else "other"
        counter, histogram = self._counters.get((known, route or "", status)) or self._count(known, route, status)
        counter.inc()
        histogram.observe(seconds)
        refused = status in {429, 503} and route is None  # There may be very many: counted, and not told one by one.
        level = logging.DEBUG if refused or route in _OF_OPERATORS else logging.INFO
        if _log.isEnabledFor(level):
            shown, milliseconds = quote(without_secrets(path)[:_SHOWN]), 1000 * seconds
            _log.log(
                level,
                "%s %s %d in %.1f ms",
                method,
                shown,
                status,
                milliseconds,
                extra={"method": method, "path": shown, "status": status, "ms": round(milliseconds, 1)},
            )
        if self._tracing is not None:
            self._tracing.end(method if method in _METHODS else "HTTP", route, status)

    def _count(self, method: str, route: str | None, status: int) -> tuple[Counter, Histogram]:
        name = route or "unknown"
        made = (
            self._metrics.responses.labels(method, name, str(status)),
            self._metrics.request_seconds.labels(method, name),
        )
        self._counters[method, route or "", status] = made
        return made
