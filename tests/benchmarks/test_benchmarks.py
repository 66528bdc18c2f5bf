"""What the benchmarks measure with."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest

from benchmarks.server_process import free_port
from benchmarks.serving.grpc_load import GrpcChannel
from benchmarks.serving.load import LoadError, LoadGenerator, post
from benchmarks.shared.turns import Rates, race, repeat
from tests.helpers import uploads
from tests.helpers.servers import ServerProcess


def test_rates_count_what_was_done_and_not_what_was_asked_for() -> None:
    now = 0.0

    def generous(count: int) -> int:
        nonlocal now
        now += 1.0 * max(count, 64)
        return max(count, 64)

    def tick() -> None:
        nonlocal now
        now += 0.25

    rates = race({"at least 64": generous, "exactly": repeat(tick)}, rounds=3, seconds=100.0, clock=lambda: now)
    assert rates.rounds == {"at least 64": [1.0] * 3, "exactly": [4.0] * 3}
    assert str(rates.ratio("exactly", "at least 64")) == "4.00 (4.00, 4.00)"


def test_ratios_are_taken_round_by_round() -> None:
    ratio = Rates({"a": [2.0, 8.0, 3.0], "b": [1.0, 2.0, 3.0]}).ratio("a", "b")
    assert (ratio.median, ratio.least, ratio.most) == (2.0, 1.0, 4.0)


@pytest.fixture
def task(api: httpx.Client, support: uploads.Labelled) -> str:
    return str(api.post("/v1/tasks", **uploads.multipart(support)).raise_for_status().headers["location"])


@pytest.fixture
def load(server: ServerProcess) -> Iterator[LoadGenerator]:
    with LoadGenerator(server.url) as generator:
        yield generator


def test_a_closed_loop_sends_every_request_and_keeps_every_answer(
    load: LoadGenerator, task: str, queries: uploads.Labelled
) -> None:
    good, lost = (post(f"{path}/predict", queries[0][1], "image/png") for path in (task, f"{task}x"))
    outcome = load.closed([good, good, lost], connections=4, count=30)
    assert (outcome.count(200), outcome.count(404), len(outcome.replies)) == (20, 10, 30)
    assert 0 < outcome.percentile(50) <= outcome.percentile(99) <= outcome.seconds


def test_an_open_loop_keeps_to_its_schedule(load: LoadGenerator, task: str, queries: uploads.Labelled) -> None:
    started = time.perf_counter()
    outcome = load.open([post(f"{task}/predict", queries[0][1], "image/png")], connections=20, rate=20.0, seconds=1.0)
    assert outcome.count(200) == 20
    assert time.perf_counter() - started >= 19 / 20  # The last is due then, however fast the server.


def test_a_server_that_is_not_there_is_an_error() -> None:
    with LoadGenerator(f"http://127.0.0.1:{free_port()}") as generator, pytest.raises(LoadError):
        generator.closed([post("/", b"", "text/plain")], 1, 1)


def _echoed(message: bytes, context: Any) -> bytes:
    if message == b"refuse":
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "as asked")
    return message


def test_calls_of_grpc_are_sent_as_fast_as_the_server_takes_them() -> None:
    service = grpc.server(ThreadPoolExecutor(2))
    echo = {"ModelInfer": grpc.unary_unary_rpc_method_handler(_echoed)}
    service.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", echo),))
    port = service.add_insecure_port("127.0.0.1:0")
    service.start()
    large = bytes(range(256)) * 1200  # several times the window of a stream
    with LoadGenerator(f"http://127.0.0.1:{port}", GrpcChannel) as generator:
        outcome = generator.open([large, b"refuse", b"small"], connections=2, rate=1000.0, seconds=0.03, keep_bodies=True)
    service.stop(None).wait()
    assert sorted((reply.status, reply.body) for reply in outcome.replies) == sorted(
        [(200, large), (500, b""), (200, b"small")] * 10
    )
