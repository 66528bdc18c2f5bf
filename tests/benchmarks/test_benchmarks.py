"""What the benchmarks measure with."""

import time
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.server_process import free_port
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
