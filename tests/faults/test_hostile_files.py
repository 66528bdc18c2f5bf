"""While each of these files is decoded, or refused, everyone else is served as if nothing were."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from tests.helpers import hostile
from tests.helpers.images import encode, raw_png
from tests.helpers.samples import Labelled
from tests.helpers.servers import RealServer
from tests.helpers.uploads import create, multipart, predict, queries

pytestmark = pytest.mark.slow

# Generous, for machines at other work: on an idle one of two cores predictions took 0.1 s at most, and `/healthz` 0.03.
_PREDICTION_SECONDS, _HEALTH_SECONDS, _PEAK_BYTES = 1.0, 0.25, 1_500_000_000
_LONGEST = 5.0

FLAT = Image.new("RGB", (5000, 5000), (10, 20, 30))
CLEAR = Image.new("RGBA", (5000, 5000), (10, 20, 30, 40))

FILES: dict[str, Callable[[], list[bytes]]] = {
    "2,000 scans": lambda: [hostile.scans(4000, 4000, 2000)],
    "2,000 scans of a small image": lambda: [hostile.scans(550, 550, 2000)],
    "25 allowed scans of 25 megapixels": lambda: [hostile.scans(5000, 5000, 15)] * 8,
    "256 of 25 megapixels in a few bytes": lambda: [encode(FLAT, "WEBP")] * 256,
    "80 of 25 megapixels in a few bytes": lambda: [encode(FLAT, "WEBP")] * 80,
    "256 of 2 megapixels in a few bytes": lambda: [encode(FLAT.resize((1400, 1400)), "WEBP")] * 256,
    "transparent WebP": lambda: [encode(CLEAR, "WEBP")] * 4,
    "transparent PNG": lambda: [encode(CLEAR)] * 4,
    "PNG of 16 bits": lambda: [raw_png(5000, 5000, 16, 0, bytes(5000 * 10_001))] * 4,
    "AVIF": lambda: [encode(FLAT, "AVIF", speed=10)] * 8,
    "a pixel wide": lambda: [hostile.narrow(25_000_000)] * 8,
    "100 megapixels": lambda: [encode(FLAT.resize((10_000, 10_000)), "JPEG")] * 16,
}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, support: Labelled) -> Iterator[tuple[RealServer, str]]:
    """A server, and a task."""
    with RealServer(tmp_path_factory.mktemp("hostile") / "data") as server, httpx.Client(base_url=server.url) as api:
        yield server, create(api, support)["id"]
        assert "Traceback" not in server.log()


@pytest.mark.parametrize("name", [*FILES, *hostile.FLOODS])
def test_others_are_served(task: tuple[RealServer, str], name: str, support: Labelled) -> None:
    server, id_ = task
    images = FILES[name]() if name in FILES else [hostile.FLOODS[name]()]
    done = threading.Event()
    statuses: list[int] = []

    def send() -> None:
        try:
            statuses.append(httpx.post(f"{server.url}/v1/tasks/{id_}/predict", **queries(images), timeout=_LONGEST).status_code)
        except httpx.TimeoutException:  # We leave, and the server stops working for us.
            statuses.append(0)
        finally:
            done.set()

    def ask(call: Callable[[httpx.Client], object], seconds: list[float]) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as api:
            while not (done.is_set() and seconds):
                started = time.monotonic()
                call(api)
                seconds.append(time.monotonic() - started)
                time.sleep(0.02)

    predictions: list[float] = []
    health: list[float] = []
    threads = [
        threading.Thread(target=send),
        threading.Thread(target=ask, args=(lambda api: predict(api, id_, [support[0][1]]), predictions)),
        threading.Thread(target=ask, args=(lambda api: api.get("/healthz").raise_for_status(), health)),
    ]
    for thread in threads:
        thread.start()
    peak = 0
    while not done.wait(0.05):
        process = psutil.Process(server.process.pid)
        peak = max(peak, sum(each.memory_info().rss for each in (process, *process.children())))
    for thread in threads:
        thread.join()
    assert statuses[0] in {0, 200, 413, 422}
    assert max(predictions) < _PREDICTION_SECONDS
    assert max(health) < _HEALTH_SECONDS
    assert peak < _PEAK_BYTES


def test_the_server_works_no_longer_for_a_client_that_left(task: tuple[RealServer, str]) -> None:
    server, id_ = task
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{server.url}/v1/tasks/{id_}/predict", **queries([encode(FLAT, "WEBP")] * 80), timeout=3)
    decoders = psutil.Process(server.process.pid).children()
    assert decoders
    time.sleep(5)  # for the images that they were at
    before = sum(each.cpu_times().user for each in decoders)
    time.sleep(2)
    assert sum(each.cpu_times().user for each in decoders) - before < 0.2


def test_the_server_stops_at_once_when_whoever_sent_them_has_left(tmp_path: Path, support: Labelled) -> None:
    with RealServer(tmp_path / "data") as server:
        reply = httpx.post(f"{server.url}/v1/tasks", **multipart(support), timeout=60).raise_for_status()
        images = queries([raw_png(5000, 5000, 16, 0, bytes(5000 * 10_001))] * 40)
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{server.url}{reply.headers['location']}/predict", **images, timeout=2)
        decoders = psutil.Process(server.process.pid).children()
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert time.monotonic() - started < 5
        assert not any(each.is_running() for each in decoders)
