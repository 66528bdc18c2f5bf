"""Traces, as a real collector receives them from a real server, and what they cost when it does not."""

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.server_process import free_port
from models.engine import EngineKind
from models.heads.head import BackboneRef, EmbeddingSpace, Float32
from models.images.preprocess import Pixels
from server.engine.batcher import Batcher
from server.errors import EngineFailed
from server.metrics import Metrics, Stopwatch
from server.tracing import Tracing, current_span, open_tracing
from tests.helpers.bundles import SMALL
from tests.helpers.collector import Collector, attributes
from tests.helpers.samples import Labelled
from tests.helpers.servers import ServerProcess
from tests.helpers.uploads import create, queries

_TRACE, _PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_SECRET = "Ornithorhynchus"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    collector: Collector, tmp_path_factory: pytest.TempPathFactory, small_flags: tuple[str, ...]
) -> Iterator[ServerProcess]:
    """A server that sends its traces to `collector`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
        process = ServerProcess(tmp_path_factory.mktemp("traced") / "data", *small_flags, "--log-format", "json")
    with process:
        yield process


@pytest.fixture
def client(traced: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=traced.url, timeout=60) as client:
        yield client


def of_request(collector: Collector, request: str) -> tuple[Span, dict[str, Span]]:
    """The span of a request, and the spans of its trace below it, by name, once they have come."""

    def server_span(spans: list[Span]) -> Span | None:
        return next((span for span in spans if attributes(span).get("headstart.request_id") == request), None)

    spans = collector.wait_for(lambda spans: server_span(spans) is not None)
    root = server_span(spans)
    assert root is not None
    below = [span for span in collector.spans if span.trace_id == root.trace_id and span.span_id != root.span_id]
    assert len({span.name for span in below}) == len(below)
    return root, {span.name: span for span in below}


def links(span: Span) -> set[tuple[bytes, bytes]]:
    return {(link.trace_id, link.span_id) for link in span.links}


def test_a_creation_and_a_prediction_are_whole_trees(
    collector: Collector, traced: ServerProcess, client: httpx.Client, support: Labelled
) -> None:
    named = [(f"{_SECRET}{label}", image) for label, image in support]
    client.headers["traceparent"] = f"00-{_TRACE}-{_PARENT}-01"
    client.headers["X-Request-ID"] = "creation"
    task = create(client, named, name=f"of {_SECRET}")["id"]
    root, below = of_request(collector, "creation")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (_TRACE, _PARENT)
    assert root.name == "POST /v1/tasks"
    assert root.kind == Span.SPAN_KIND_SERVER
    assert attributes(root) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/v1/tasks",
        "http.response.status_code": 201,
        "headstart.request_id": "creation",
    }
    assert root.status.code == Status.STATUS_CODE_UNSET
    assert below.keys() == {"decode", "embed", "batch", "fit", "store"}
    check_tree(root, below)
    assert attributes(below["batch"]) == {"headstart.backbone": SMALL, "headstart.images": len(support)}

    client.headers["X-Request-ID"] = "prediction"
    del client.headers["traceparent"]
    images = [image for _, image in support[:3]]
    assert client.post(f"/v1/tasks/{task}/predict", **queries(images)).status_code == 200
    root, below = of_request(collector, "prediction")
    assert root.name == "POST /v1/tasks/{task}/predict"
    assert not root.parent_span_id
    assert below.keys() == {"decode", "embed", "batch", "head"}
    check_tree(root, below)
    assert below["embed"].end_time_unix_nano <= below["head"].start_time_unix_nano  # The batch answers, too.

    (lines,) = [[json.loads(line) for line in traced.log().splitlines() if '"creation"' in line]]
    assert {line["trace_id"] for line in lines} == {_TRACE}
    everything = b"".join(collector.bodies)
    assert b"decode" in everything
    for private in (_SECRET, task, "multipart"):
        assert private.encode() not in everything


def check_tree(root: Span, below: dict[str, Span]) -> None:
    """Every stage is a child of the request and lies within its time. The batch and the wait for it are linked both ways."""
    for name, span in below.items():
        around = below["embed"] if name == "batch" else root
        assert span.parent_span_id == around.span_id
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano
        assert span.status.code == Status.STATUS_CODE_UNSET
    embed, batch = below["embed"], below["batch"]
    assert links(batch) == {(embed.trace_id, embed.span_id)}
    assert links(embed) == {(batch.trace_id, batch.span_id)}


def test_the_resource_is_what_the_variables_say(collector: Collector, client: httpx.Client) -> None:
    client.get("/healthz", headers={"X-Request-ID": "resource"})
    of_request(collector, "resource")
    said = {each.key: each.value.string_value for each in collector.messages[0].resource_spans[0].resource.attributes}
    assert said["service.name"] == "headstart-server"
    assert said["deployment.environment"] == "test"


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/v1/tasks/task_nobodys", "GET /v1/tasks/{task}", 404),
        ("GET", f"/{_SECRET}", "GET", 404),
        ("PROPFIND", f"/v1/tasks/{_SECRET}", "HTTP /v1/tasks/{task}", 405),
    ],
)
def test_refusals_are_no_errors_and_tell_no_path(
    collector: Collector, client: httpx.Client, method: str, path: str, name: str, status: int
) -> None:
    request = f"{method}-{status}-{len(path)}"
    assert client.request(method, path, headers={"X-Request-ID": request}).status_code == status
    root, below = of_request(collector, request)
    assert (root.name, root.status.code, below) == (name, Status.STATUS_CODE_UNSET, {})
    assert attributes(root)["http.response.status_code"] == status
    assert attributes(root)["http.request.method"] == ("GET" if method == "GET" else "_OTHER")
    assert not any(_SECRET.encode() in body for body in collector.bodies)


def test_a_client_that_samples_nothing_is_followed(collector: Collector, traced: ServerProcess, client: httpx.Client) -> None:
    unsampled = "0af7651916cd43dd8448eb211c80319c"
    for flag, request in (("00", "unsampled"), ("01", "sampled")):
        client.get("/v1/tasks", headers={"traceparent": f"00-{unsampled}-{_PARENT}-{flag}", "X-Request-ID": request})
    of_request(collector, "sampled")  # It ended after the other one.
    assert not [span for span in collector.spans if attributes(span).get("headstart.request_id") == "unsampled"]
    (line,) = [json.loads(line) for line in traced.log().splitlines() if '"unsampled"' in line]
    assert line["trace_id"] == unsampled


@pytest.mark.parametrize("malformed", ["nonsense", "00-0-0-01", f"ff-{_TRACE}-{_PARENT}-01", "\xff"])
def test_a_malformed_parent_is_ignored(collector: Collector, client: httpx.Client, malformed: str) -> None:
    request = f"malformed-{len(malformed)}"
    headers = [(b"traceparent", malformed.encode("latin-1")), (b"X-Request-ID", request.encode())]
    assert client.get("/healthz", headers=headers).status_code == 200
    assert not of_request(collector, request)[0].parent_span_id


def test_waiting_spans_are_sent_at_the_end(tmp_path: Path, small_flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "birds")
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{collector.url}/v1/traces")
        with ServerProcess(tmp_path / "data", *small_flags) as process:
            httpx.get(f"{process.url}/v1/tasks")
            assert not collector.bodies
            assert process.stop() == 0
        assert "GET /v1/tasks" in {span.name for span in collector.spans}
        assert b"birds" in collector.bodies[0]


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "never answers"])
def test_a_collector_that_is_down_costs_one_line_and_a_bounded_end(
    silent: bool, tmp_path: Path, small_flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1" if not silent else "60")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    with Collector(silent=True) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url if silent else f"http://127.0.0.1:{free_port()}")
        with ServerProcess(tmp_path / "data", *small_flags, "--log-format", "json") as process:
            assert not silent or collector.asked.wait(20)  # The exporter hangs from now on.
            with httpx.Client(base_url=process.url) as client:
                for _ in range(50):
                    assert client.get("/healthz").status_code == 200
            stopping = time.monotonic()
            assert process.stop() == 0
            assert time.monotonic() - stopping < 8
            warned = [line for line in process.log().splitlines() if json.loads(line)["level"] != "info"]
    assert len(warned) == 1, warned
    assert json.loads(warned[0])["logger"] == "server.tracing"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "TRUE"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
    ],
)
def test_without_traces_there_is_nothing_to_pay(
    variables: dict[str, str], said: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert open_tracing() is None
    assert [said in record.getMessage() for record in caplog.records if said] == [True] * (said is not None)


def test_a_missing_package_is_told_and_stops_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert open_tracing() is None
    assert "otel]" in caplog.text


def test_opentelemetrys_own_lines_come_once_a_minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from server import tracing

    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    handler = tracing._OnceAMinute()
    for now in (100.0, 159.0, 161.0, 200.0):
        handler.handle(logging.makeLogRecord({"msg": f"at {now:.0f}", "levelno": logging.WARNING}))
    assert [record.getMessage() for record in caplog.records] == ["traces: at 100", "traces: at 161"]


class GatedEngine:
    """Embeds once it is let, and fails if it is told to."""

    kind: EngineKind = "onnx"
    max_batch = 8
    parallel = 1
    device = None

    def __init__(self) -> None:
        self.space = EmbeddingSpace(BackboneRef("fake@1", "0" * 64), np.zeros(2, dtype=np.float32))
        self.begun, self.gate = threading.Event(), threading.Event()
        self.fails = False

    def embed(self, pixels: Pixels) -> Float32:
        self.begun.set()
        assert self.gate.wait(30)
        if self.fails:
            raise RuntimeError(_SECRET)
        return np.zeros((len(pixels), 2), np.float32)


def own_id(span: ReadableSpan) -> int:
    assert span.context is not None
    own: int = span.context.span_id
    return own


@pytest.mark.parametrize("fails", [False, True])
def test_requests_that_share_a_batch_are_linked_with_it(fails: bool) -> None:
    """Those that are traced; the batch is in the trace of the first of them."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing, metrics, engine = Tracing(provider), Metrics(), GatedEngine()
    batcher = Batcher(engine, lambda _embeddings, _asked: [], 100, "fake@1", metrics)

    async def request(name: str | None) -> None:
        if name is not None:
            tracing.begin("POST", "http", {}, name)
        with Stopwatch(metrics).stage("embed"):
            await batcher.embed(np.zeros((1, 2, 2, 3), np.uint8))

    async def scenario() -> list[BaseException | None]:
        first = asyncio.create_task(request(None))
        await asyncio.to_thread(engine.begun.wait)
        others = [asyncio.create_task(request(name)) for name in (None, "one", "two", "three")]
        await asyncio.sleep(0)
        engine.fails = fails
        engine.gate.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    try:
        outcomes = asyncio.run(scenario())
    finally:
        batcher.close()
    assert current_span.get() is None
    assert all(isinstance(outcome, EngineFailed) for outcome in outcomes[1:]) == fails
    spans = kept.get_finished_spans()
    (batch,) = (span for span in spans if span.name == "batch")
    waits = [span for span in spans if span.name == "embed"]
    assert len(waits) == 3
    assert {link.context.span_id for link in batch.links} == {own_id(span) for span in waits}
    for span in waits:
        assert [link.context.span_id for link in span.links] == [own_id(batch)]
        assert span.status.is_ok != fails
    assert batch.parent is not None
    assert batch.parent.span_id == own_id(waits[0])
    assert batch.attributes == {"headstart.backbone": "fake@1", "headstart.images": 4} | (
        {"error.type": "RuntimeError"} if fails else {}
    )
    assert _SECRET not in "".join(span.to_json() for span in spans)
