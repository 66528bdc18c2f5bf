"""A collector of traces: OTLP over HTTP, read with OpenTelemetry's own messages."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_PATIENCE_SECONDS = 20.0


class Collector:
    """Listens on a free port while its context is open, and keeps what it was sent.

    Args:
        silent: whether it never answers.

    Attributes:
        url: for `OTEL_EXPORTER_OTLP_ENDPOINT`.
        bodies: as they came.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.bodies: list[bytes] = []
        self.asked = threading.Event()
        self._done = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                collector.asked.set()
                if silent:
                    collector._done.wait(60)
                    return
                collector.bodies.append(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        self._done.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def messages(self) -> list[ExportTraceServiceRequest]:
        """Everything that came, parsed."""
        return [ExportTraceServiceRequest.FromString(body) for body in list(self.bodies)]

    @property
    def spans(self) -> list[Span]:
        """Every span so far."""
        scopes = [scope for message in self.messages for resource in message.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def wait_for(self, wanted: Callable[[list[Span]], bool]) -> list[Span]:
        """Returns the spans once they are what is wanted."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not wanted(spans := self.spans):
            assert time.monotonic() < deadline, [span.name for span in spans]
            time.sleep(0.02)
        return spans


def attributes(span: Span) -> dict[str, Any]:
    """Returns the attributes of a span, by name."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
