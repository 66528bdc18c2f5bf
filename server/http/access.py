"""The record of each answered request: a line in the log, and the metrics."""

import logging
from urllib.parse import quote

from prometheus_client import Counter, Histogram

from server.keys import without_secrets
from server.metrics import Metrics

_log = logging.getLogger("server.access")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OF_OPERATORS = frozenset({"/healthz", "/readyz", "/metrics"})
_SHOWN = 200  # characters of a path in the log


class Access:
    """Counts, times and logs requests."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # As many as there are methods, routes and statuses.
        self._counters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

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

    def _count(self, method: str, route: str | None, status: int) -> tuple[Counter, Histogram]:
        name = route or "unknown"
        made = (
            self._metrics.responses.labels(method, name, str(status)),
            self._metrics.request_seconds.labels(method, name),
        )
        self._counters[method, route or "", status] = made
        return made
