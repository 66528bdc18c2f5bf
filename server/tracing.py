"""OpenTelemetry traces, where the operator asks for them by OpenTelemetry's own variables.

A request has a span, and its stages have spans below it (`server.metrics.Stopwatch`). A batch has a span in the trace of the
first of its requests; it and the `embed` spans of all of them are linked. Spans name routes and bundles, never what clients sent.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = logging.getLogger(__name__)

_CLOSING_SECONDS = 3.0
_SILENT_SECONDS = 60.0
_SERVICE = "headstart-server"
_CARRIED = (b"traceparent", b"tracestate")
_PROPAGATOR = TraceContextTextMapPropagator()


class Traced:
    """A span under way. Any thread may use it."""

    __slots__ = ("_tracer", "span")

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self.span = span

    @property
    def recording(self) -> bool:
        """False if its trace is not sampled, or it has ended."""
        told = self.span.get_span_context()
        return self.span.is_recording() or (told.is_remote and told.trace_flags.sampled)

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return format_trace_id(self.span.get_span_context().trace_id)

    def packed(self) -> bytes:
        """Returns the trace's id, the span's and its flags: 25 bytes, of which `Tracing.elsewhere` makes a span again."""
        told = self.span.get_span_context()
        return told.trace_id.to_bytes(16) + told.span_id.to_bytes(8) + told.trace_flags.to_bytes(1)

    def child(self, name: str, earlier: float = 0.0, links: Sequence["Traced"] = ()) -> "Traced":
        """Begins a span below this one, which began so many seconds earlier than now, with links to others."""
        linked = [Link(each.span.get_span_context()) for each in links]
        around = set_span_in_context(self.span, Context())
        return Traced(self._tracer, self._tracer.start_span(name, around, links=linked, start_time=_now(earlier)))

    def end(self, earlier: float = 0.0, error: type[BaseException] | None = None) -> None:
        """Ends it so many seconds earlier than now, with the error that its work ended with. What the error says stays here."""
        if error is not None:
            self.span.set_status(StatusCode.ERROR)
            self.span.set_attribute("error.type", error.__name__)
        self.span.end(_now(earlier))


current_span: ContextVar[Traced | None] = ContextVar("current_span", default=None)
"""The span of the request that is being answered, or of its stage; None where nobody asked for traces."""


@contextmanager
def batch_span(waiting: Sequence[Traced], backbone: str, images: int) -> Iterator[None]:
    """Records the block as the batch that these `embed` spans of several requests wait for."""
    waiting = [each for each in waiting if each.recording]
    if not waiting:
        yield
        return
    # Below the first, since a root of its own would be sampled without regard to the requests.
    batch = waiting[0].child("batch", links=waiting)
    batch.span.set_attributes({"headstart.backbone": backbone, "headstart.images": images})
    for each in waiting:
        each.span.add_link(batch.span.get_span_context())
    error = None
    try:
        yield
    except BaseException as raised:
        error = type(raised)
        raise
    finally:
        batch.end(error=error)


class Tracing:
    """Begins and ends the spans of requests, by the semantic conventions for HTTP servers."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_SERVICE, version(_SERVICE))

    def begin(self, method: str, scheme: str, headers: Mapping[bytes, bytes], request: str) -> None:
        """Begins the span of a request, below the client's if `headers` name one (W3C Trace Context). It is `current_span`."""
        carrier = {name.decode(): headers[name].decode("latin-1") for name in _CARRIED if name in headers}
        around = _PROPAGATOR.extract(carrier, Context())
        about = {"http.request.method": method, "url.scheme": scheme, "headstart.request_id": request}
        name = "HTTP" if method == "_OTHER" else method
        current_span.set(Traced(self._tracer, self._tracer.start_span(name, around, SpanKind.SERVER, about)))

    def end(self, method: str, route: str | None, status: int) -> None:
        """Ends the span of this context's request.

        Args:
            route: the path with the names of its parts; None if unknown.
            status: 0 if there was no answer.
        """
        traced = current_span.get()
        if traced is None:
            return
        span = traced.span
        if route is not None:
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
        if status:
            span.set_attribute("http.response.status_code", status)
        if not status or status >= 500:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", str(status) if status else "no_answer")
        span.end()

    def elsewhere(self, packed: bytes) -> Traced:
        """Returns the span of another process that `Traced.packed` tells of."""
        ids = int.from_bytes(packed[:16]), int.from_bytes(packed[16:24])
        told = SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(packed[24]))
        return Traced(self._tracer, NonRecordingSpan(told))

    def close(self) -> None:
        """Sends what waits, for at most three seconds."""
        closing = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        closing.start()
        closing.join(_CLOSING_SECONDS)


def open_tracing() -> Tracing | None:
    """Returns what the environment asks for, None without traces. What is wrong is logged: no trace is worth a server."""
    try:
        return _opened() if _asked_for() else None
    except ModuleNotFoundError:
        _log.warning("no traces, since OpenTelemetry is missing: pip install '.[cpu,otel]'")
    except ValueError as error:
        _log.warning("no traces: %s", error)
    return None


def _asked_for() -> bool:
    """Raises ValueError for what cannot be had."""
    exporter = _variable("OTEL_TRACES_EXPORTER")
    endpoint = _variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or _variable("OTEL_EXPORTER_OTLP_ENDPOINT")
    if _variable("OTEL_SDK_DISABLED") == "true" or exporter == "none" or not (exporter or endpoint):
        return False
    protocol = _variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or _variable("OTEL_EXPORTER_OTLP_PROTOCOL")
    for name, value, only in (("OTEL_TRACES_EXPORTER", exporter, "otlp"), ("the OTLP protocol", protocol, "http/protobuf")):
        if value not in {"", only}:
            raise ValueError(f"{name} is {value}, and this server has {only} alone")
    return True


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip().lower()


def _opened() -> Tracing:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    for name in ("opentelemetry", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.addHandler(_OnceAMinute())
    said = OTELResourceDetector().detect().attributes
    resource = Resource.create({"service.name": _SERVICE, "service.version": version(_SERVICE), **said})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _log.info("traces are sent by OTLP")
    return Tracing(provider)


class _OnceAMinute(logging.Handler):
    """Logs a warning a minute of all that a library has to say. A collector that is down must not fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + _SILENT_SECONDS
            error = f": {record.exc_info[1]!r}" if record.exc_info else ""
            _log.warning("traces: %s%s", record.getMessage(), error)


def _now(earlier: float) -> int:
    """Nanoseconds since 1970, so many seconds ago."""
    return time.time_ns() - int(earlier * 1e9)
